package call

import (
	"context"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/ladder"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registrar"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/stir"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/internal/coroutine"
	"flowbridge/media"
	"flowbridge/store/record"
)

// Host is what all calls of a server share. The server makes it; its fields are constant.
type Host struct {
	Context   context.Context // ends when the server stops
	Config    *config.Config
	Node      string // name of this node in records
	Log       zerolog.Logger
	Minter    *message.Minter
	Stack     *transport.Stack
	CallerTLS config.TargetTLS // TLS settings for requests to callers, the same as for listening
	Admission *peers.Admission
	Registry  *registry.Registry[*Call, *LegOnWire]
	Registrar *registrar.Registrar // registrations of others with us
	Verifier  *stir.Verifier       // verifies callers
	Ladders   *ladder.Collector    // nil if the messages of calls are not collected
	Bridges   bridge.Resources
	Sink      snapshot.Sink

	KeepsNames bool                              // hooks may find calls by ids that are not ours
	Await      func(id string, told func()) bool // nil if no other machine takes over calls
	Machine    func() (uptime time.Duration, boot uint64)
	// Transferred is called after each transfer that an operator or a tool ordered. It may be nil.
	Transferred func(record.Transfer, record.Record)

	// Receipts writes the receipt of what a caller was told, and returns when it is on the disk. It may be nil if no route
	// tells callers anything.
	Receipts interface {
		Write(id string, at time.Time, t record.Told) error
	}

	// Left returns, once, the call that an old process was setting up under this tag of the caller's leg, or nil.
	Left func(tag string) *Left

	Coroutines *coroutine.Pool // runs the preparation of attempts, before their INVITE
	Beside     func(do func()) // runs do concurrently with the calls' turns
	// Calls counts calls until their last leg ends, and what works for them beside their turns.
	Calls interface {
		Add(n int)
		Done()
	}
	Unwritten interface{ Add(n int64) int64 } // counts the records that the sink has not stored yet
	// Panicked counts and logs a panic that was recovered.
	Panicked func(line *zerolog.Event, where string, value any)
}

// Recovered recovers from a panic, when deferred, and logs it: only the goroutine ends, and not the process.
func (h *Host) Recovered(where string) {
	if v := recover(); v != nil {
		h.Panicked(h.Log.Error(), where, v) //nolint:zerologlint // Panicked sends it
	}
}

// keep hands a record to the sink, with the encoded state of the legs that still have messages to send. kept is
// called when the sink is done. If the server stops, kept is called without waiting for the sink.
func (h *Host) keep(r *record.Record, owes []byte, kept func()) {
	h.Sink.Keep(h.Context, r, owes, func(err error) {
		if err != nil && h.Context.Err() == nil {
			h.Log.Error().Err(err).Str("call", r.ID).Str("trunk", r.Trunk).Str("trace_id", r.TraceID).Msg("record not written")
		}
		kept()
		h.Unwritten.Add(-1)
	})
}

// KeepInterrupted writes the record of a call of an earlier process that does not continue.
func (h *Host) KeepInterrupted(l *record.Saved) {
	if l.Owed {
		h.Sink.Owe(l.Record.ID, nil)
		return
	}
	r := l.Interrupted
	if r.Disposition == record.DispositionInterrupted { // else the process that ended it has logged it
		h.Log.Warn().Str("call", r.ID).Str("trunk", r.Trunk).EmbedObject(bridge.Ended{Record: &r}).Msg("call ended")
	}
	h.Bridges.Settle(&r)
	h.Unwritten.Add(1)
	h.keep(&r, nil, func() {})
}

// vacate releases the place of an attempt at its target. a may be nil.
func (h *Host) vacate(a *attempt) {
	if a != nil && a.placed {
		a.placed = false
		a.judge(cause.Shutdown, 0) // does not affect the circuit breaker, unless the outcome was already known
		h.Admission.Vacate(a.target, a.parties)
	}
}

func (h *Host) legOptions(side media.Side, local leg.Local, peer leg.PeerOptions) leg.Options {
	return leg.Options{Side: side, Minter: h.Minter, Local: local, Peer: peer}
}
