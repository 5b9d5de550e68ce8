package b2bua

import (
	"time"

	"github.com/rs/zerolog"
)

// callLog writes the log lines of a call. A line gets the call's ids as it is written: a
// logger that has them would be as large as the rest of a leg, for a few lines a call.
type callLog struct {
	call    *Call
	bounded bool
}

// maxChat bounds the log lines a minute that the peers of one call can provoke.
const maxChat = 20

func (l callLog) Debug() *zerolog.Event { return l.line(zerolog.DebugLevel) }

func (l callLog) Info() *zerolog.Event { return l.line(zerolog.InfoLevel) }

func (l callLog) Warn() *zerolog.Event { return l.line(zerolog.WarnLevel) }

func (l callLog) Error() *zerolog.Event { return l.line(zerolog.ErrorLevel) }

// line begins a line; nil, which writes nothing: it is not wanted.
func (l callLog) line(level zerolog.Level) *zerolog.Event {
	c, log := l.call, &l.call.server.log
	if level < log.GetLevel() || level < zerolog.GlobalLevel() {
		return nil
	}
	if l.bounded {
		if c.chat == nil {
			c.chat = &zerolog.BurstSampler{Burst: maxChat, Period: time.Minute}
		}
		if !c.chat.Sample(level) {
			return nil
		}
	}
	key, name := c.trunk.LogField()
	begun := log.WithLevel(level).Str("call", c.id).Str(key, name) //nolint:zerologlint // who asked for the line sends it
	if id := c.trace.ID(); id != "" {
		return begun.Str("trace_id", id)
	}
	return begun
}
