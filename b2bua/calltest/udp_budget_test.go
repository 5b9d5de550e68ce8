package calltest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/report"
	"flowbridge/store/record"
)

// writtenUDP has a platform with transport: udp, with credentials, and with headers whose
// length a test chooses.
const writtenUDP = `
sip: {listen: ["udp://198.51.100.1:5060", "tcp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"]}
targets:
  - name: agent
    kind: vapi
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    transport: udp
    auth: {username: bob, password_env: PASSWORD}
    headers: {X-EI: "E.1;", X-Order: "{{.Header \"X-Order\"}}", X-Long: "{{.Header \"X-Long\"}}"}
routes:
  - {targets: [agent]}
`

// longCall places a call whose INVITE to the target has headers of these lengths, in
// addition to about 840 bytes.
func (w *world) longCall(order, long int) *dialogue {
	w.t.Helper()
	d := w.carrier.newCall("+15075785607")
	d.extra = fmt.Sprintf("X-Order: %s\nX-Long: %s\n", strings.Repeat("o", order), strings.Repeat("x", long))
	w.carrier.invitesTillRung(d)
	return d
}

// With transport: udp in the configuration, an INVITE always goes over UDP. If it is longer
// than the path permits, headers are dropped.
func TestWrittenUDPStaysUDP(t *testing.T) {
	for _, tt := range []struct {
		order, long int
		dropped     []string
	}{
		{20, 60, nil},
		{20, 430, nil},
		{20, 460, []string{"X-Long"}},
		{400, 460, []string{"X-Long"}},
	} {
		runIn(t, fmt.Sprint(tt.order+tt.long), writtenUDP, func(w *world) {
			w.streamAgent(agentAddr)
			d := w.longCall(tt.order, tt.long)
			invite := w.agent.expect("INVITE")
			if n := len(invite.raw); n > 1300 || (tt.dropped == nil && n < 830+tt.order+tt.long) {
				w.t.Errorf("%d bytes:\n%s", n, invite.raw)
			}
			r := w.shortCall(w.agent, invite, "a", d)
			if a := r.Attempts[0]; a.Transport != "udp" || !slices.Equal(a.DroppedHeaders, tt.dropped) {
				w.t.Errorf("over %s, without %v; want udp, without %v", a.Transport, a.DroppedHeaders, tt.dropped)
			}
		})
	}
}

// An INVITE with credentials must fit as well. Headers are dropped to make room for the
// credentials only after the target has asked for them.
func TestCredentialsFit(t *testing.T) {
	for _, tt := range []struct {
		name, challenge string
		order, long     int
		dropped         []string
	}{
		{"they fit", `nonce="n1"`, 20, 60, nil},
		{"a header makes room", `nonce="n1"`, 20, 430, []string{"X-Long"}},
		{"long credentials", `nonce="` + strings.Repeat("n", 100) + `"`, 20, 250, []string{"X-Long"}},
		{"one was left out already", `nonce="n1"`, 400, 460, []string{"X-Long", "X-Order"}},
	} {
		runIn(t, tt.name, writtenUDP, func(w *world) {
			d := w.longCall(tt.order, tt.long)
			first := w.agent.expect("INVITE")
			w.agent.challenge(first, tt.challenge)
			second := w.agent.expect("INVITE")
			if n := len(second.raw); n > 1300 {
				w.t.Errorf("%d bytes:\n%s", n, second.raw)
			}
			w.wantCredentials(second, strings.Split(tt.challenge, `"`)[1], 1)
			if second.value("X-EI") == "" || second.value("Call-ID") != first.value("Call-ID") || second.value("CSeq") != "2 INVITE" ||
				second.value("From") != first.value("From") || second.value("Contact") != first.value("Contact") {
				w.t.Errorf("the second INVITE is\n%s", second.raw)
			}
			r := w.shortCall(w.agent, second, "a", d)
			if a := r.Attempts[0]; a.Transport != "udp" || !slices.Equal(a.DroppedHeaders, tt.dropped) {
				w.t.Errorf("over %s, without %v; want udp, without %v", a.Transport, a.DroppedHeaders, tt.dropped)
			}
		})
	}
}

// If the credentials don't fit even without optional headers, the attempt fails with its
// own cause.
func TestCredentialsDoNotFit(t *testing.T) {
	inWorldWith(t, writtenUDP, func(w *world) {
		d := w.longCall(20, 60)
		first := w.agent.expect("INVITE")
		w.agent.challenge(first, `nonce="`+strings.Repeat("n", 900)+`"`)
		w.carrier.isRefused(d, "503")
		r := w.wantRecord("failed", cause.InviteTooLarge, record.EndedBySystem)
		if a := r.Attempts[0]; a.Cause != string(cause.InviteTooLarge) || a.SIPStatus != 401 {
			t.Errorf("attempt: %s, %d", a.Cause, a.SIPStatus)
		}
	})
}

// explain reports the size of the INVITE, and the effect of credentials.
func TestExplainCredentials(t *testing.T) {
	long := func(n int) []string { return []string{"X-Order: o", "X-Long: " + strings.Repeat("x", n)} }
	for _, tt := range []struct {
		name, yaml string
		headers    []string
		overflow   string
		want       *report.Credentials
	}{
		{"room", writtenUDP, long(10), "trim", &report.Credentials{Bytes: 300, Fits: true}},
		{"a header makes room", writtenUDP, long(400), "trim", &report.Credentials{Bytes: 300, Fits: true, Dropped: []string{"X-Long"}}},
		{"one is left out already", writtenUDP, long(505), "trim", &report.Credentials{Bytes: 300, Fits: true}},
		{"too large", strings.Replace(writtenUDP, "transport: udp", "transport: udp\n    budget: {size: 900}", 1), long(1), "trim", &report.Credentials{
			Bytes: 300, Dropped: []string{"X-Long", "X-Order", "User-Agent", "Allow", "P-Asserted-Identity"},
		}},
		{"no credentials", strings.Replace(writtenUDP, "    auth: {username: bob, password_env: PASSWORD}\n", "", 1), long(10), "trim", nil},
		{"may go over TCP", strings.Replace(writtenUDP, "transport: udp", "overflow: tcp\n    budget: {size: 1300}", 1), long(10)[:1], "tcp", &report.Credentials{Bytes: 300, Fits: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, err := b2bua.Explain(testConfigured(t, tt.yaml), nil, report.Question{From: "+15075550100", To: "+15075785607", Headers: tt.headers})
			must(t, err)
			r := x.Targets[0]
			if n := len(strings.Join(r.Invite, "\r\n")) + len("\r\n\r\n") + len(r.Body); r.Bytes != n || r.Bytes > r.UDPBudget || r.Overflow != tt.overflow {
				t.Errorf("%d bytes of %d, overflow %s; want %d, %s", r.Bytes, r.UDPBudget, r.Overflow, n, tt.overflow)
			}
			if diff := gocmp.Diff(tt.want, r.ForChallenges, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("want (-) got (+):\n%s", diff)
			}
		})
	}
}
