package outbound

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/internal/siptest"
	"flowbridge/media"
)

// headersConfig is testConfig's trunk with targets whose headers vary.
const headersConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], country: "COUNTRY", trusted: TRUSTED}
targets:
  - name: agent
    kind: synthflow
    uri: "sip:{{.To.Number}}@192.0.2.20:32681"
    overflow: trim
    prepare: {api: "https://api.test", token_env: TOKEN, model_id: m}
    headers:
      X-EI: "S.{{.Prepare.CallID}};"
      X-Caller: "{{.From.Number}}"
      x-caller-NAME: "{{.From.Name}}"
      X-Diverted-By: "{{.Diversion}}"
      X-Account: "{{.Header \"X-Twilio-AccountSid\"}}"
    pass_headers: [X-Twilio-CallSid, Diversion, History-Info, P-Asserted-Identity, Identity, Subject, X-Caller, User-to-User]
routes:
  - {trunk: carrier, targets: [agent]}
`

func headersTarget(t testing.TB, country, trusted string) *config.Config {
	t.Helper()
	yaml := strings.NewReplacer("COUNTRY", country, "TRUSTED", trusted).Replace(headersConfig)
	cfg, err := config.Parse("test.yaml", []byte(yaml), func(string) (string, bool) { return "secret", true })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// update has the golden files written anew.
var update = flag.Bool("update", false, "write the golden files anew")

// sent is an INVITE to the target as it stands on the wire, but for what is
// different each time, and what was left out of it.
func sent(cfg *config.Config, req *sip.Request, id string) (text string, out Draft, err error) {
	all := peers.NewAdmission(cfg, nil).Peers.Load()
	trunk, target := all.Trunks[0].Config, all.Targets[cfg.Targets[0].Name].Config
	vars := config.Vars{
		To: message.PartyOf("", &req.Recipient, trunk.Country), From: CallerOf(req, trunk), CallID: "ours", Trunk: trunk.Name, Attempt: 1,
		Diversion: Diversion(req, trunk.Country), HeaderFunc: HeaderOf(req),
		Prepare: &config.PrepareVars{CallID: id, Body: []byte("{}")},
	}
	uri, err := RenderURI(target, vars)
	if err != nil {
		return "", out, err
	}
	local := leg.Local{Listen: siptest.Ours, Host: "198.51.100.1", Port: 5060}
	in := Inbound{Invite: req, Source: req, Trusted: trunk.Trusted, Privacy: PrivacyOf(req, trunk)}
	if out, err = Build(target, uri, vars, in, local, leg.PeerOptions{Allow: leg.Methods}, []byte("v=0\r\n")); err != nil {
		return "", out, err
	}
	l := leg.NewUAC(leg.Options{Side: media.SideB, Minter: message.NewMinter([32]byte{1, 2, 3}), Local: local, Agent: AgentName}, "call-id", out.LocalParty, out.RemoteParty)
	if err = fitted(&out, l, target); err != nil {
		return "", out, err
	}
	_, effects := l.Step(time.Unix(0, 0), leg.Invite{Request: out.Request(), Dest: siptest.Agent})
	invite := effects[0].(leg.SendRequest).Req
	random := strings.NewReplacer(message.BranchOf(invite), "BRANCH", l.Dialog().LocalTag, "TAG")
	return random.Replace(invite.String()), out, nil
}

func fitted(out *Draft, leg *leg.Leg, target *peers.Dial) error {
	size := func() int { return leg.InviteSize(out.Request()) }
	if !OverBudget(target, out.Measure(size())) {
		return nil
	}
	return out.Trim(target.Budget, size)
}

// Golden files: the INVITE of a carrier, what it is configured as, and the
// INVITE that the target gets, byte for byte.
func TestInviteGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/invite/*.txtar")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			a := siptest.ParseArchive(string(text))
			country, trusted := strings.TrimSpace(a.Files["country"]), "true"
			if strings.TrimSpace(a.Files["trusted"]) == "false" {
				trusted = "false"
			}
			wire, out, err := sent(headersTarget(t, country, trusted), siptest.Request(t, a.Files["carrier"]+"\n"), "5f1c2f9e-6b7a-4c1d")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(wire, "\n") != strings.Count(wire, "\r\n") {
				t.Errorf("a line ends in LF alone: %q", wire)
			}
			got := siptest.ParseArchive(string(text))
			got.Set("target", strings.ReplaceAll(wire, "\r\n", "\n"))
			if len(out.Dropped) > 0 || got.Files["left out"] != "" {
				got.Set("left out", strings.Join(append(out.Dropped, ""), "\n"))
			}
			if *update {
				if err := os.WriteFile(file, []byte(got.String()), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if d := cmp.Diff(string(text), got.String()); d != "" && !*update {
				t.Error(d)
			}
		})
	}
}

// What a carrier and the API write ends no header and begins none: the INVITE
// on the wire has the lines that it was built of, whatever they hold.
func FuzzBuildOutbound(f *testing.F) {
	files, err := filepath.Glob("testdata/invite/*.txtar")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		a := siptest.ParseArchive(string(text))
		f.Add(siptest.CRLF(a.Files["carrier"]+"\n"), "5f1c2f9e-6b7a-4c1d")
	}
	f.Add(siptest.CRLF("INVITE sip:+1\u0085@h SIP/2.0\nFrom: \"a\\\"b\" <sip:%0d%0a@h>;tag=x\nX-Twilio-CallSid: a\x0bb\nPrivacy: id\nSubject:\n\n"), "id\r\nX-Evil: 1")
	cfg := headersTarget(f, "49", "true")
	f.Fuzz(func(t *testing.T, text []byte, id string) { checkOutbound(t, cfg, text, id) })
}

// The same with the parts of the INVITE that matter: more of what the fuzzer
// tries is read.
func FuzzBuildOutboundParts(f *testing.F) {
	f.Add("+15075785607", `"Ann" <sip:+1@h>`, "<tel:+1>", "<sip:2@h>;privacy=full", "id", "id")
	f.Add("a%0d%0ab", "\"a\nX-EI: b\" <sip:1@h>", "\"\\\"\" <sip:\n@h>", "<sip:2@h?Privacy=history>;index=1", "none", "\r\n")
	cfg := headersTarget(f, "1", "true")
	f.Fuzz(func(t *testing.T, to, from, asserted, header, privacy, id string) {
		text := "INVITE sip:" + to + "@198.51.100.1 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\r\nFrom: " + from +
			";tag=x\r\nTo: <sip:c@d>\r\nCall-ID: one\r\nCSeq: 7 INVITE\r\nP-Asserted-Identity: " + asserted +
			"\r\nDiversion: " + header + "\r\nHistory-Info: " + header + "\r\nUser-to-User: " + header +
			"\r\nX-Twilio-AccountSid: " + header + "\r\nPrivacy: " + privacy + "\r\n\r\n"
		checkOutbound(t, cfg, []byte(text), id)
	})
}

func checkOutbound(t *testing.T, cfg *config.Config, text []byte, id string) {
	t.Helper()
	msg, err := sip.ParseMessage(text)
	if err != nil {
		return
	}
	req, ok := msg.(*sip.Request)
	if !ok || message.Malformed(req) != "" {
		return
	}
	wire, out, err := sent(cfg, req, id)
	if err != nil {
		return
	}
	msg, err = sip.ParseMessage([]byte(wire))
	if err != nil {
		t.Fatalf("%v:\n%q", err, wire)
	}
	want := []string{"Via", "From", "To", "Call-ID", "CSeq", "Contact"}
	for _, h := range out.Request().Headers() {
		want = append(want, h.Name())
	}
	again := msg.(*sip.Request)
	var got []string
	for _, h := range again.Headers() {
		got = append(got, h.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("headers %v; want %v\n%q", got, want, wire)
	}
	head, _, _ := strings.Cut(wire, "\r\n\r\n")
	if lines := strings.FieldsFunc(head, func(r rune) bool { return r == '\r' || r == '\n' }); len(lines) != len(want)+1 {
		t.Errorf("%d lines; want %d\n%q", len(lines), len(want)+1, wire)
	}
	for _, c := range []byte(strings.ReplaceAll(head, "\r\n", "")) {
		if c < ' ' && c != '\t' || c == 0x7f {
			t.Errorf("control character %#x in\n%q", c, head)
		}
	}
	from := again.From().Address.Host
	if again.Recipient.Host != "192.0.2.20" || (from != "198.51.100.1" && from != "anonymous.invalid") {
		t.Errorf("to %q from %q", again.Recipient.Host, from)
	}
}

// What is left out, and in which order.
func TestTrim(t *testing.T) {
	fields := func(names ...string) (all []Field) {
		for _, n := range names {
			all = append(all, Field{Name: n, Values: []string{strings.Repeat("v", 100)}, Kept: indispensable(n)})
		}
		return all
	}
	size := func(o *Draft) func() int {
		return func() int { return 300 + 100*(len(o.configured)+len(o.passed)+len(o.own)) }
	}
	for _, tt := range []struct {
		name    string
		budget  config.Budget
		dropped string
		err     error
	}{
		{"within", config.Budget{Size: 1100, Value: 100, Headers: 5}, "", nil},
		{"one", config.Budget{Size: 1000, Value: 100, Headers: 5}, "P2", nil},
		{"both passed", config.Budget{Size: 900, Value: 100, Headers: 5}, "P2 P1", nil},
		{"then configured", config.Budget{Size: 700, Value: 100, Headers: 5}, "P2 P1 C2 C1", nil},
		{"then ours", config.Budget{Size: 500, Value: 100, Headers: 5}, "P2 P1 C2 C1 User-Agent Allow", nil},
		{"too large", config.Budget{Size: 350, Value: 100, Headers: 5}, "P2 P1 C2 C1 User-Agent Allow P-Asserted-Identity", errInviteTooLarge},
		{"too many", config.Budget{Size: 5000, Value: 100, Headers: 3}, "P2 P1", nil},
		{"none may", config.Budget{Size: 5000, Value: 100, Headers: 0}, "P2 P1 C2 C1", nil},
		{"values too long", config.Budget{Size: 5000, Value: 99, Headers: 5}, "P2 P1 C2 C1", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &Draft{configured: fields("C1", "x-ei", "C2"), passed: fields("P1", "P2"), own: fields("P-Asserted-Identity", "Allow", "User-Agent")}
			err := o.Trim(tt.budget, size(o))
			if got := strings.Join(o.Dropped, " "); got != tt.dropped || !errors.Is(err, tt.err) {
				t.Errorf("%q, %v; want %q, %v", got, err, tt.dropped, tt.err)
			}
			if !has(o.configured, "X-EI") {
				t.Error("X-EI was left out")
			}
		})
	}
}

func TestOverBudget(t *testing.T) {
	b := config.Budget{Size: 1100, Value: 512, Headers: 24}
	for _, tt := range []struct {
		transport string
		m Measure
		want      bool
	}{
		{config.TransportUDP, Measure{1100, 512, 24}, false},
		{config.TransportUDP, Measure{1101, 512, 24}, true},
		{config.TransportUDP, Measure{1100, 513, 24}, true},
		{config.TransportUDP, Measure{1100, 512, 25}, true},
		{config.TransportTCP, Measure{9999, 9999, 99}, false},
		{config.TransportTLS, Measure{9999, 9999, 99}, false},
	} {
		if got := OverBudget(&peers.Dial{Transport: tt.transport, Budget: b}, tt.m); got != tt.want {
			t.Errorf("%s %+v: %v", tt.transport, tt.m, got)
		}
	}
}

func TestPass(t *testing.T) {
	for _, tt := range []struct {
		name    string
		pass    []string
		privacy Privacy
		trusted bool
		headers []string
		want    string // name: value|…
		dropped string
	}{
		{"all values in order", []string{"X-a"}, Privacy{}, true, []string{"x-A: 1", "X-B: 2", "X-A: 3,4"}, "X-a: 1|X-a: 3,4", ""},
		{"the list's order", []string{"X-B", "X-A"}, Privacy{}, true, []string{"X-A: 1", "X-B: 2"}, "X-B: 2|X-A: 1", ""},
		{"twice in the list", []string{"X-A", "x-a"}, Privacy{}, true, []string{"X-A: 1"}, "X-A: 1", ""},
		{"compact", []string{"Subject"}, Privacy{}, true, []string{"s: hello"}, "Subject: hello", ""},
		{"empty", []string{"X-A"}, Privacy{}, true, []string{"X-A:"}, "X-A: ", ""},
		{"tab", []string{"X-A"}, Privacy{}, true, []string{"X-A: a\tb"}, "X-A: a\tb", ""},
		{"NUL", []string{"X-A", "X-B"}, Privacy{}, true, []string{"X-A: a\x00b", "X-B: 1"}, "X-B: 1", "X-A"},
		{"configured goes first", []string{"X-Set", "X-A"}, Privacy{}, true, []string{"X-Set: theirs", "X-A: 1"}, "X-A: 1", ""},
		{"identity", []string{"P-Asserted-Identity", "Remote-Party-ID"}, Privacy{}, true, []string{"P-Asserted-Identity: <sip:1@h>"}, "P-Asserted-Identity: <sip:1@h>", ""},
		{"identity, not trusted", []string{"P-Asserted-Identity"}, Privacy{}, false, []string{"P-Asserted-Identity: <sip:1@h>"}, "", "P-Asserted-Identity"},
		{
			"withheld",
			[]string{"P-Asserted-Identity", "Remote-Party-ID", "Diversion", "History-Info", "Identity", "X-A"},
			Privacy{number: true, name: true, history: true},
			true,
			[]string{"P-Asserted-Identity: <sip:1@h>", "Remote-Party-ID: <sip:1@h>", "Diversion: <sip:2@h>", "History-Info: <sip:2@h>;index=1", "y: eyJ", "X-A: 1"},
			"X-A: 1", "P-Asserted-Identity Remote-Party-ID Diversion History-Info Identity",
		},
		{"history withheld", []string{"Diversion", "History-Info"}, Privacy{history: true}, true, []string{"Diversion: <sip:2@h>", "History-Info: <sip:2@h>;index=1"}, "Diversion: <sip:2@h>", "History-Info"},
		{"Diversion that withholds", []string{"Diversion"}, Privacy{}, true, []string{"Diversion: <sip:3@h>, <sip:2@h>;privacy=full"}, "", "Diversion"},
		{"History-Info that withholds", []string{"History-Info"}, Privacy{}, true, []string{"History-Info: <sip:2@h?Reason=x&Privacy=history>;index=1"}, "", "History-Info"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := &Draft{configured: []Field{{Name: "x-set", Values: []string{"ours"}}}}
			o.pass(tt.pass, Inbound{Source: siptest.InviteFrom(t, "<sip:a@b>;tag=x", tt.headers...), Trusted: tt.trusted, Privacy: tt.privacy})
			var got []string
			for _, f := range o.passed {
				for _, v := range f.Values {
					got = append(got, f.Name+": "+v)
				}
			}
			if g := strings.Join(got, "|"); g != tt.want || strings.Join(o.Dropped, " ") != tt.dropped {
				t.Errorf("%q, left out %v; want %q, %q", g, o.Dropped, tt.want, tt.dropped)
			}
		})
	}
}

// A lone LF is a part of the value to the parser, and the end of the header to
// others.
func TestPassLoneLF(t *testing.T) {
	bad := []sip.Header{sip.NewHeader("X-A", "1"), sip.NewHeader("X-A", "a\nX-Evil: b"), sip.NewHeader("X-B", "2")}
	out, dropped := Passed(bad, []string{"X-A", "X-B"})
	if len(out) != 1 || out[0].String() != "X-B: 2" || !slices.Equal(dropped, []string{"X-A"}) {
		t.Errorf("%v, left out %v", out, dropped)
	}
	long := []sip.Header{sip.NewHeader("X-A", strings.Repeat("a", message.MaxPassedValue+1))}
	for range maxPassed {
		long = append(long, sip.NewHeader("X-B", "1"))
	}
	out, dropped = Passed(append(long, sip.NewHeader("X-C", "1")), []string{"X-A", "X-B", "X-C"})
	if len(out) != maxPassed || !slices.Equal(dropped, []string{"X-A", "X-C"}) {
		t.Errorf("%d headers, left out %v", len(out), dropped)
	}
}
