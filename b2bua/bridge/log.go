package bridge

import (
	"time"

	"github.com/rs/zerolog"
)

// Log writes the log lines of a call. A line gets the call's ids as it is written: a
// logger that has them would be as large as the rest of a leg, for a few lines a call.
type Log struct {
	bridge  *Bridge
	bounded bool
}

// Logs returns the log of a call, and one for lines that a peer can provoke without end.
func (b *Bridge) Logs() (all, bounded Log) { return Log{bridge: b}, Log{bridge: b, bounded: true} }

// mostOfPeers bounds the log lines a minute that the peers of one call can provoke.
const mostOfPeers = 20

// Debug begins a line for developers.
func (l Log) Debug() *zerolog.Event { return l.line(zerolog.DebugLevel) }

// Info begins a line of what is normal.
func (l Log) Info() *zerolog.Event { return l.line(zerolog.InfoLevel) }

// Warn begins a line of what an operator should look at.
func (l Log) Warn() *zerolog.Event { return l.line(zerolog.WarnLevel) }

// Error begins a line of a fault of ours.
func (l Log) Error() *zerolog.Event { return l.line(zerolog.ErrorLevel) }

// line begins a line; nil, which writes nothing: it is not wanted.
func (l Log) line(level zerolog.Level) *zerolog.Event {
	b := l.bridge
	if level < b.Lines.GetLevel() || level < zerolog.GlobalLevel() {
		return nil
	}
	if l.bounded {
		if b.ofPeers == nil {
			b.ofPeers = &zerolog.BurstSampler{Burst: mostOfPeers, Period: time.Minute}
		}
		if !b.ofPeers.Sample(level) {
			return nil
		}
	}
	key, name := b.Trunk.LogField()
	//nolint:zerologlint // who asked for the line sends it
	begun := b.Lines.WithLevel(level).Str("call", b.ID).Str(key, name)
	if b.TraceID != "" {
		return begun.Str("trace_id", b.TraceID)
	}
	return begun
}
