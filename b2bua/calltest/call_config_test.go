package calltest

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/sdp"
)

// With on_failure: dial, a target is called without an id if its API fails. Headers that
// need an id are left out.
func TestDialWithoutID(t *testing.T) {
	yaml := strings.Replace(testConfig, "timeout: 3s}", "timeout: 3s, on_failure: dial}", 1)
	log := &bytes.Buffer{}
	inWorldOf(t, yaml, func(o *b2bua.Options) { o.Log = zerolog.New(log) }, func(w *world) {
		w.prepare.err = &outbound.PrepareError{Cause: cause.PrepareTimeout, Err: sdp.ErrNoCodec}
		d, invite := w.carrier.callsAt(w.agent, "+15075785607")
		if invite.value("X-EI") != "" || invite.value("x-Caller") != "+15075550100" {
			t.Errorf("INVITE without an id:\n%s", invite.raw)
		}
		w.carrier.isBusyAt(w.agent, invite, "a", d)
		r := w.record()
		w.wantCauses(r, cause.TargetBusy)
		time.Sleep(time.Minute) // the ladder is stored once the transactions are over
		if n := strings.Count(log.String(), "target not ready"); n != 1 {
			t.Errorf("%d warnings; want one:\n%s", n, log)
		}
		says := func(line string) bool {
			return strings.HasPrefix(line, "*>* target agent is dialled without an id: prepare: ")
		}
		if all := lines(w.ladder(r.ID)); !slices.ContainsFunc(all, says) {
			t.Errorf("ladder:\n%s", strings.Join(all, "\n"))
		}
	})
}

// The caps of trunk and target. Refused calls do not affect the established calls.
func TestCaps(t *testing.T) {
	yaml := strings.Replace(testConfig, "max_duration: 1h", "max_duration: 1h, max_calls: 1", 1)
	inWorldWith(t, yaml, func(w *world) {
		d, _ := w.established()
		over := w.carrier.dials("+15075785607")
		if refused := over.learn(w.carrier.expect("SIP/2.0 503")); refused.value("Retry-After") == "" {
			t.Errorf("503 without Retry-After:\n%s", refused.raw)
		}
		w.carrier.ackRefused(over)
		w.carrier.invite(d) // a retransmission for the admitted call is not a new call
		w.callerEnds(w.agent, d)
		if n := w.server.Rejected().Full.Load(); n != 1 {
			t.Errorf("%d refused as full; want 1", n)
		}
	})
}
