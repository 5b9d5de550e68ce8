package outbound

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/internal/tracecontext"
)

// TraceOf returns the trace of the call with this id. It is the trace in the traceparent header if the caller is
// trusted and sends one, or else a new one. invite is nil for a call without an INVITE.
func TraceOf(callID string, invite *sip.Request, trusted bool, t *config.OTLP) tracecontext.Trace {
	brought := ""
	if invite != nil && trusted {
		if all := message.Values(invite, tracecontext.Name); len(all) == 1 { // W3C: if there are several, none counts
			brought = all[0]
		}
	}
	return tracecontext.New(callID, brought, t.On())
}

// TraceField returns the traceparent header for an attempt's INVITE, or nothing if the caller sent none.
func TraceField(t tracecontext.Trace, attempt int) []Field {
	if !t.Brought() {
		return nil
	}
	return []Field{{Name: tracecontext.Name, Values: []string{t.Header(tracecontext.KindAttempt, attempt)}}}
}
