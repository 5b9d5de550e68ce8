//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"flowbridge/internal/pgtest"
)

// TestScreensOfHealth breaks what the health of the server depends on while 30 calls are up: targets that refuse, hang
// up at once, or send no audio to where it is expected, weights pinned by hand, a CA that refuses, callers that are cut
// off, and a fleet's database that is frozen. Each has to be on each screen, and the calls that are up have to stay well.
func TestScreensOfHealth(t *testing.T) {
	ca := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, `{"type":"urn:ietf:params:acme:error:serverInternal","detail":"closed for today"}`, http.StatusServiceUnavailable)
	}))
	t.Cleanup(ca.Close)
	pg, dsn := pgtest.Start(t), filepath.Join(t.TempDir(), "dsn")
	must(t, os.WriteFile(dsn, []byte(pg.Database()+"\n"), 0o600))
	wrong, hasty := "+1508000000", "+1509000000" // and a digit
	plays := map[string]func(c *partyCall){"+15070000001": func(c *partyCall) {
		c.answers("200 OK", c.sdp())
		c.rtp = c.by.newSocket(c.by.stranger) // from which nobody expects it
		c.speaks(0, hissing, patience)
	}}
	for i := range 10 {
		plays[fmt.Sprint(wrong, i)] = func(c *partyCall) { c.answers("404 Not Found", "") }
		plays[fmt.Sprint(hasty, i)] = func(c *partyCall) { c.answers("200 OK", c.sdp()); <-c.acked; c.hangUp() }
	}
	c := newCrowd(t, plays, fmt.Sprintf(`
sip: {listen: ["udp://@B2BUA@:0", "tls://@B2BUA@:0"], max_delay: 1m, tls: {acme: {domains: [sip.example.com], directory: %q, listen: "http://@B2BUA@:0"}}}
media: {listen: ["@B2BUA@"], timeout: 10m}
fleet: {dsn_file: %q, caps: true, node: e2e}
`, ca.URL, dsn), `
  - {name: wrong, kind: sip, uri: "sip:{{.To.Number}}@@AGENT@", first_response_timeout: 1m}
  - {name: hasty, kind: sip, uri: "sip:{{.To.Number}}@@AGENT@", first_response_timeout: 1m}
`, `
  - {trunk: carrier, to: "^\\+1508", targets: [wrong]}
  - {trunk: carrier, to: "^\\+1509", targets: [hasty]}
  - {trunk: carrier, name: main, to: "^\\+1510", targets: [good, wrong], split: {good: 50, wrong: 50}}
`)
	page := newTab(t)
	pg.Freeze()
	c.tells(page, told{"the fleet's database does not serve this node", `flowbridge_troubles{code="fleet"} 1`, "the fleet's database does not serve this node"}, "/#/live")
	c.alerts("FlowbridgeFleetAway")
	pg.Thaw()
	for i := range 12 {
		if _, status := c.carrier.call(fmt.Sprint(wrong, i%3), patience); status != "404" {
			t.Errorf("an unknown number gets %s", status)
		}
		<-c.call(fmt.Sprint(hasty, i%3)).over
	}
	c.tells(page, told{"wrong refuses every call with 404", `flowbridge_target_health{health="refusing",target="wrong"} 1`, "wrong refuses every call with 404"}, "/#/live")
	c.tells(page, told{"hasty answers, and hangs up at once", `flowbridge_target_health{health="refusing",target="hasty"} 1`, "hasty answers, and hangs up at once without a sound"}, "/#/live")
	c.unheard(page)
	if status, body := c.post("/api/routes/main/weights", `{"weights": {"good": 100, "wrong": 0}}`); status != http.StatusOK {
		t.Errorf("weights: %d %s", status, body)
	}
	c.tells(page, told{"no certificate", `flowbridge_troubles{code="no_certificate"} 1`, "TLS callers are refused"}, "/#/live")
	c.tells(page, told{"100 : 0", `flowbridge_troubles{code="split_pinned"} 1`, "100 of 100 of main, pinned"}, "/#/targets")
	page.reads("refusing: 404 × 12")
	page.reads("refusing: agent hangup × 12")
	page.shows(`[...document.querySelectorAll('button')].some((b) => b.textContent === 'Release')`)
	for _, text := range []string{`"wrong refuses every call with 404`, `"message":"not well"`, `"message":"the CA issued no certificate"`} {
		eventually(t, "the log says "+text, func() bool { return c.logged(text) > 0 })
	}
	c.alerts("FlowbridgeTargetRefusing", "FlowbridgeOneWayAudio", "FlowbridgeCertificateEnds", "FlowbridgeSplitPinned")
	page.press("Release")
	page.click("#confirm button.main")
	eventually(t, "the weights are released", func() bool { return strings.Contains(c.text("/metrics"), `flowbridge_troubles{code="split_pinned"} 0`) })
	c.healthy(page)
}

// unheard places calls whose agent sends from an unexpected address. It looks first at the screens of the last five
// minutes, because these calls drop out of them.
func (c *crowd) unheard(page *tab) {
	c.Helper()
	var calls []*partyCall
	for range 3 {
		call := c.call("+15070000001")
		go call.speaks(0, hissing, patience)
		calls = append(calls, call)
	}
	for _, call := range calls {
		eventually(c.T, "nobody hears the agent", func() bool { return c.live(call).Media.OneWay == "b" })
	}
	for _, call := range calls {
		call.hangUp()
		if _, heard := call.counts(); heard > 0 {
			c.Errorf("%d packets are heard", heard)
		}
	}
	c.tells(page, told{"in which the target was not heard", `flowbridge_troubles{code="one_way"} 1`, "3 answered calls in 5 minutes in which the target was not heard"}, "/#/live")
	for _, call := range calls {
		c.shown(page, c.record(call), "one-way", "One-way audio: the caller did not hear the called side.", "is not believed")
	}
}
