package calltest

import (
	"bytes"
	"encoding/json"
	"testing"
	"testing/synctest"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
)

// An uneventful call causes one line at level info, with everything worth knowing about the
// call.
func TestPlainCallIsOneLine(t *testing.T) {
	var out logged
	inWorldOf(t, testConfig, func(o *b2bua.Options) { o.Log = zerolog.New(&out).Level(zerolog.InfoLevel) }, func(w *world) {
		d, _ := w.established()
		r := w.callerEnds(w.agent, d)
		synctest.Wait()
		lines := bytes.Split(bytes.TrimSpace(out.text.Bytes()), []byte("\n"))
		if len(lines) != 1 {
			t.Fatalf("%d lines; want 1:\n%s", len(lines), out.text.Bytes())
		}
		var f map[string]any
		must(t, json.Unmarshal(lines[0], &f))
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
