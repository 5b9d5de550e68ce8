package calltest

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/peers"
)

// An uneventful call causes one line at level info, with everything worth knowing about the
// call.
func TestPlainCallIsOneLine(t *testing.T) {
	var out logged
	inWorldOf(t, testConfig, func(o *b2bua.Options) { o.Log = zerolog.New(&out).Level(zerolog.InfoLevel) }, func(w *world) {
		d, _ := w.established()
		r := w.callerEnds(w.agent, d)
		synctest.Wait()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		if len(lines) != 1 {
			t.Fatalf("%d lines; want 1:\n%s", len(lines), &out)
		}
		var f map[string]any
		must(t, json.Unmarshal([]byte(lines[0]), &f))
		for key, want := range map[string]any{
			"message": "call ended", "level": "info", "call": r.ID, "trunk": "carrier", "from": r.From, "to": r.To, "source": "192.0.2.10:5060",
			"started_at": r.StartedAt.String(), "disposition": "answered", "cause": r.Cause, "ended_by": "caller", "code": 200.0,
			"sip_call_id": r.SIPCallID, "target": r.Target, "target_sip_call_id": r.TargetSIPCallID, "synthflow_call_id": r.SynthflowCallID,
		} {
			if f[key] != want || want == "" {
				t.Errorf("%s: %v; want %v", key, f[key], want)
			}
		}
	})
}

// An API that gives each call the same id may be a stub, so operators are warned: the platform may mix up its calls.
func TestSharedIDIsWarnedOf(t *testing.T) {
	for shared, want := range map[bool]int{true: 1, false: 0} {
		var out logged
		inWorldOf(t, testConfig, func(o *b2bua.Options) { o.Log = zerolog.New(&out) }, func(w *world) {
			w.prepare.given = &peers.Prepared{CallID: "stub", Shared: shared, Status: 200}
			d, _ := w.established()
			w.callerHangsUp(d)
			w.record()
		})
		if n := out.Count("the API gives each call the same id"); n != want {
			t.Errorf("shared %t: warned %d times; want %d", shared, n, want)
		}
	}
}

// A request of a dialog that comes from another address than those before is taken, and logged with both addresses. One
// from the same address is not logged.
func TestOtherSourceIsLogged(t *testing.T) {
	for source, want := range map[string]any{"192.0.2.77:5060": "192.0.2.10:5060", "192.0.2.10:5060": nil} {
		var out logged
		yaml := strings.Replace(testConfig, `["192.0.2.10"]`, `["192.0.2.10", "192.0.2.77"]`, 1)
		inWorldOf(t, yaml, func(o *b2bua.Options) { o.Log = zerolog.New(&out) }, func(w *world) {
			d, _ := w.established()
			from := w.carrier
			if want != nil {
				from = w.otherAt(source)
			}
			from.bye(d)
			from.expect("SIP/2.0 200")
			hungUpOn(w.agent)
			w.record()
		})
		line := out.line(t, "request from another address")
		if line["before"] != want || want != nil && (line["src"] != source || line["method"] != "BYE" || line["side"] != "a") {
			t.Errorf("%s: %v", source, line)
		}
	}
}
