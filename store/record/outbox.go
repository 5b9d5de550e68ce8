package record

import (
	"context"
	"time"
)

// The values of OutboxItem.Kind.
const (
	// OutboxCall says that the call is over, and its record is in the store.
	OutboxCall = "call"
	// OutboxRecording says that the recordings of the call are complete, which may be later than the end of the call.
	OutboxRecording = "recording"
	// OutboxReport says that the platform's report of the call has arrived, and is joined to the call's record.
	OutboxReport = "report"
)

// OutboxItem is one change of a finished call that a consumer has not received yet. The consumer reads the record by
// its id, so it always sees the newest state.
type OutboxItem struct {
	// Seq orders the items. It is never used twice.
	Seq int64
	// CallID is Record.ID.
	CallID string
	// Kind is OutboxCall, OutboxRecording or OutboxReport.
	Kind string
	// Tries is how often the item was postponed.
	Tries int
	// DueAt is when the item is due after the last postponement; zero if it was not postponed.
	DueAt Time
	// CreatedAt is when the change was committed.
	CreatedAt Time
	// Reason says why the item was last postponed.
	Reason string
}

// Outbox provides the items that wait for consumers, and the records that they are about.
type Outbox interface {
	Outbox(ctx context.Context, consumer string, limit int) ([]OutboxItem, error)
	OutboxChanged() <-chan struct{}
	Delivered(ctx context.Context, seqs []int64) error
	Postpone(ctx context.Context, seqs []int64, until time.Time, reason string) error
	Get(ctx context.Context, id string) (Record, bool, error)
}
