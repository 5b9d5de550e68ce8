package node

import (
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/admin"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/gateway/browser"
)

// withBrowsers is a configuration for a node, whose store is in a directory. trunk is added to its trunks.
func withBrowsers(t *testing.T, trunk string) string {
	t.Helper()
	return fmt.Sprintf(`
sip: {listen: ["udp://127.0.0.1:0"]}
media: {listen: [127.0.0.1]}
trunks: [{name: carrier, sources: [192.0.2.1]}%s]
targets: [{name: agent, kind: sip, uri: "sip:{{.To.Number}}@127.0.0.1:9"}]
routes: [{to: "^\\+1507[0-9]{7}$", targets: [agent]}]
store: {path: %q}
admin: {listen: "127.0.0.1:0"}
`, trunk, filepath.Join(t.TempDir(), "calls.db"))
}

// TestBrowserCallIsRefused: a call of a browser passes the node's own SIP, and is refused in words: for a number
// without a route, and for an offer without DTLS.
func TestBrowserCallIsRefused(t *testing.T) {
	n := startNode(t, withBrowsers(t, ", {name: talk, browser: true}"), nil)
	if got := n.browsers.Trunk(); got != "talk" {
		t.Errorf("the trunk is %q", got)
	}
	for to, want := range map[string]struct {
		status int
		words  string
	}{
		"+15085550199": {http.StatusNotFound, "404 Not Found"},
		"+15075550199": {http.StatusUnprocessableEntity, "488 Not Acceptable Here: "},
	} {
		_, err := n.browsers.Call(t.Context(), admin.BrowserCall{
			To: to, By: "anna", Offer: []byte("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\n" +
				"t=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"),
		})
		var not *admin.RefusedError
		if !errors.As(err, &not) || not.Status != want.status || !strings.Contains(not.Problem, want.words) ||
			not.Remedy == "" {
			t.Errorf("%s: got %v, %+v; want %+v", to, err, not, want)
		}
	}
	if _, _, err := n.browsers.Read("forged"); !errors.Is(err, admin.ErrNoCall) {
		t.Errorf("a forged location: %v", err)
	}
}

// TestBrowserProof: each node has a proof of its own, also beside another one in the process, and its trunk asks for it
// after each reload.
func TestBrowserProof(t *testing.T) {
	yaml := withBrowsers(t, ", {name: talk, browser: true}")
	n, other := startNode(t, yaml, nil), startNode(t, withBrowsers(t, ", {name: talk, browser: true}"), nil)
	asked := func(n *Node) string {
		trunks := n.admission.Peers.Load().Trunks
		i := slices.IndexFunc(trunks, func(t *peers.Trunk) bool { return t.TrunkName() == "talk" })
		return fmt.Sprint(trunks[i].Caller.Certificates)
	}
	first := asked(n)
	if first != "["+n.browsers.proof+"]" || len(n.browsers.proof) < 26 || first == asked(other) {
		t.Errorf("asked for %s, and %s by another node; shown is %s", first, asked(other), n.browsers.proof)
	}
	cfg, err := config.Parse("f.yaml", []byte(yaml), nil)
	must(t, err)
	next, err := newInForce(cfg, n.inForce.Load())
	must(t, err)
	n.tests.put(next, n.server)
	if again := asked(n); again != first {
		t.Errorf("after a reload asked for %s; want %s", again, first)
	}
}

// TestNoBrowserTrunk: without a trunk of browsers there is no gateway, and a call is told what to write. With one that
// came with a reload it is told to wait for the next process.
func TestNoBrowserTrunk(t *testing.T) {
	yaml := withBrowsers(t, "")
	n := startNode(t, yaml, nil)
	refused := func(status int, words string) {
		t.Helper()
		_, err := n.browsers.Call(t.Context(), admin.BrowserCall{To: "1"})
		var not *admin.RefusedError
		if !errors.As(err, &not) || not.Status != status || !strings.Contains(not.Remedy, words) {
			t.Errorf("got %v, %+v", err, not)
		}
	}
	refused(http.StatusNotFound, "browser: true")
	if _, _, err := n.browsers.Read("x"); !errors.Is(err, admin.ErrNoCall) {
		t.Errorf("a location: %v", err)
	}
	cfg, err := config.Parse("f.yaml", []byte(strings.Replace(yaml, "}]", "}, {name: talk, browser: true}]", 1)), nil)
	must(t, err)
	n.inForce.Store(&inForce{cfg: cfg})
	refused(http.StatusServiceUnavailable, "flowbridge upgrade")
}

// TestMeanings: each SIP response has one meaning at most, its time to try again is kept, and any other error has
// words.
func TestMeanings(t *testing.T) {
	var codes []int
	for _, m := range meanings() {
		codes = append(codes, m.codes...)
		for _, code := range m.codes {
			var not *admin.RefusedError
			err := refusedBrowser(&browser.RefusedError{Code: code, Reason: "Why", RetryAfter: time.Minute})
			if !errors.As(err, &not) || not.Status != m.status || not.RetryAfter != time.Minute ||
				!strings.HasSuffix(not.Problem, ": "+fmt.Sprint(code)+" Why") {
				t.Errorf("%d: got %v, %+v", code, err, not)
			}
		}
	}
	if slices.Sort(codes); len(slices.Compact(slices.Clone(codes))) != len(codes) {
		t.Errorf("one is there twice: %v", codes)
	}
	for status, err := range map[int]error{
		http.StatusBadGateway:         &browser.RefusedError{Code: 500, Reason: "Internal"},
		http.StatusServiceUnavailable: errors.New("no connection"),
	} {
		var not *admin.RefusedError
		if !errors.As(refusedBrowser(err), &not) || not.Status != status || !strings.Contains(not.Problem, err.Error()) {
			t.Errorf("%v: got %+v", err, not)
		}
	}
}
