package record

import (
	"context"
	"time"
)

// The values of OutboxItem.Kind.
const (
	// OutboxCall: the call is over, and its record is there.
	OutboxCall = "call"
	// OutboxRecording: the recordings of the call are complete, which may be later than the call.
	OutboxRecording = "recording"
	// OutboxReport: the platform's report of the call is there, and joined to its record.
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
	// Reason says why it was last postponed.
	Reason string
}

// Outbox has what waits for consumers, and the records that it is about.
type Outbox interface {
	Outbox(ctx context.Context, consumer string, limit int) ([]OutboxItem, error)
	OutboxChanged() <-chan struct{}
	Delivered(ctx context.Context, seqs []int64) error
	Postpone(ctx context.Context, seqs []int64, until time.Time, reason string) error
	Get(ctx context.Context, id string) (Record, bool, error)
}
