package bridge

import (
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/leg"
	"flowbridge/store/record"
)

// Log writes the log lines of a call. It adds the call's ids to each line itself: a logger that holds the ids would
// need as much memory as the rest of a leg, for a few lines per call.
type Log struct {
	bridge  *Bridge
	bounded bool
}

// Logs returns the log of a call, and a bounded log for lines that a peer can provoke without limit.
func (b *Bridge) Logs() (all, bounded Log) { return Log{bridge: b}, Log{bridge: b, bounded: true} }

// mostOfPeers bounds the log lines per minute that the peers of one call can cause.
const mostOfPeers = 20

// Debug begins a line for developers.
func (l Log) Debug() *zerolog.Event { return l.line(zerolog.DebugLevel) }

// Info begins a line about normal events.
func (l Log) Info() *zerolog.Event { return l.line(zerolog.InfoLevel) }

// Warn begins a line about something that an operator should look at.
func (l Log) Warn() *zerolog.Event { return l.line(zerolog.WarnLevel) }

// Error begins a line about a fault of ours.
func (l Log) Error() *zerolog.Event { return l.line(zerolog.ErrorLevel) }

// line starts a line with the call's ids. It returns nil, on which zerolog writes nothing, if the line is not
// wanted.
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

// LogRefusals logs our refusals of a peer's requests within its dialog.
func (b *Bridge) LogRefusals(h *Half, effects []leg.Effect) {
	for _, e := range effects {
		r, ok := e.(leg.SendResponse)
		if !ok || r.Res.StatusCode < 400 || (h.Leg.UAS && r.Method == sip.INVITE && r.Seq == h.Leg.InviteSeq) {
			continue
		}
		Log{b, true}.Info().Stringer("side", h.Side).Str("method", string(r.Method)).Int("code", r.Res.StatusCode).
			Str("reason", r.Res.Reason).Msg("request refused")
	}
}

// LogSource logs that a request within a dialog came from a new address. The request is accepted, because its tags
// identify the dialog.
func (b *Bridge) LogSource(h *Half, in leg.RequestIn) {
	was := h.Leg.Dialog().Source
	if was.Addr().IsValid() && in.Source.IsValid() && was.Addr() != in.Source.Addr() {
		Log{b, true}.Info().Stringer("side", h.Side).Str("method", string(in.Req.Method)).Stringer("src", in.Source).
			Stringer("before", was).Msg("request from another address")
	}
}

// Ended holds the fields of the log line for a call's end.
type Ended struct{ *record.Record }

// MarshalZerologObject adds the fields.
func (r Ended) MarshalZerologObject(line *zerolog.Event) {
	line.Str("from", r.From).Str("to", r.To).
		Stringer("started_at", &r.StartedAt).Str("disposition", r.Disposition).Str("cause", r.Cause).
		Str("ended_by", r.EndedBy).
		Int("code", r.SIPStatus).Str("sip_call_id", r.SIPCallID).Str("target", r.Target).
		Str("target_sip_call_id", r.TargetSIPCallID).
		Str("synthflow_call_id", r.SynthflowCallID).Int64("setup_ms", r.SetupMS).Int64("dur_ms", r.DurationMS).
		Int64("rx_a", r.Media.A.Rx).Int64("rx_b", r.Media.B.Rx)
}
