package outbound

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/emiago/sipgo/sip"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

// headersConfig has testConfig's trunk, and targets with different headers.
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
	must(t, err)
	return cfg
}

// update makes the tests rewrite the golden files.
var update = flag.Bool("update", false, "write the golden files anew")

// sent returns the text of an INVITE to the target, without the parts that differ each
// time, and its draft, which names the headers that were left out.
func sent(cfg *config.Config, req *sip.Request, id string) (text string, out Draft, err error) {
	all := peers.NewAdmission(cfg, nil).Peers.Load()
	trunk, target := all.Trunks[0].Caller, all.Targets[cfg.Targets[0].Name].Dial
	vars := template.Vars{
		To: message.PartyOf("", &req.Recipient, trunk.Country), From: CallerOf(req, trunk), CallID: "ours", Trunk: trunk.Name, Attempt: 1,
		Diversion: Diversion(req, trunk.Country), HeaderFunc: HeaderOf(req),
		Prepare: &template.PrepareVars{CallID: id, Body: []byte("{}")},
	}
	uri, err := renderURI(target, vars)
	if err != nil {
		return "", out, err
	}
	local := leg.Local{Listen: siptest.Ours, Host: "198.51.100.1", Port: 5060}
	in := Inbound{Invite: req, Source: req, Trusted: trunk.Trusted, Privacy: PrivacyOf(req, trunk)}
	if out, err = Build(target, uri, vars, in, local, leg.PeerOptions{Allow: leg.AllowHeader(leg.Methods)}, []byte("v=0\r\n")); err != nil {
		return "", out, err
	}
	l := leg.NewUAC(leg.Options{Side: media.SideB, Minter: message.NewMinter([32]byte{1, 2, 3}), Local: local}, "call-id", out.LocalParty, out.RemoteParty)
	if err = fitted(&out, l, target); err != nil {
		return "", out, err
	}
	request := out.Request()
	size := l.InviteSize(request)
	_, effects := l.Step(time.Unix(0, 0), leg.Invite{Request: request, Offer: out.Offer, Dest: siptest.Agent})
	invite := effects[0].(leg.SendRequest).Req
	if n := len(invite.String()); n != size {
		return "", out, fmt.Errorf("measured %d bytes, and sent %d", size, n)
	}
	random := strings.NewReplacer(message.BranchOf(invite), "BRANCH", l.Dialog().LocalTag, "TAG")
	return random.Replace(invite.String()), out, nil
}

func fitted(out *Draft, leg *leg.Leg, target *peers.Dial) error {
	size := func() int { return leg.InviteSize(out.Request()) }
	if !OverBudget(target, out.Measure(size())) {
		return nil
	}
	return out.Trim(BudgetOf(target), size)
}

// Each golden file has a carrier's INVITE, the configuration, and the expected INVITE to
// the target, byte for byte.
func TestInviteGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/invite/*.txtar")
	if err != nil || len(files) < 8 {
		t.Fatalf("%d golden files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			must(t, err)
			files := siptest.Files(txtar.Parse(text))
			country, trusted := strings.TrimSpace(files["country"]), "true"
			if strings.TrimSpace(files["trusted"]) == "false" {
				trusted = "false"
			}
			wire, out, err := sent(headersTarget(t, country, trusted), siptest.Request(t, files["carrier"]+"\n"), "5f1c2f9e-6b7a-4c1d")
			must(t, err)
			if strings.Count(wire, "\n") != strings.Count(wire, "\r\n") {
				t.Errorf("a line ends in LF alone: %q", wire)
			}
			got := txtar.Parse(text)
			siptest.SetFile(got, "target", strings.ReplaceAll(wire, "\r\n", "\n"))
			if len(out.Dropped) > 0 || files["left out"] != "" {
				siptest.SetFile(got, "left out", strings.Join(append(out.Dropped, ""), "\n"))
			}
			if *update {
				must(t, os.WriteFile(file, txtar.Format(got), 0o600))
			}
			if d := cmp.Diff(string(text), string(txtar.Format(got))); d != "" && !*update {
				t.Error(d)
			}
		})
	}
}

// FuzzBuildOutbound checks that text from a carrier or the API can neither end a header nor
// begin one: the INVITE as sent has exactly the lines from which it was built.
func FuzzBuildOutbound(f *testing.F) {
	files, err := filepath.Glob("testdata/invite/*.txtar")
	must(f, err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		must(f, err)
		files := siptest.Files(txtar.Parse(text))
		f.Add(siptest.CRLF(files["carrier"]+"\n"), "5f1c2f9e-6b7a-4c1d")
	}
	f.Add(siptest.CRLF("INVITE sip:+1\u0085@h SIP/2.0\nFrom: \"a\\\"b\" <sip:%0d%0a@h>;tag=x\nX-Twilio-CallSid: a\x0bb\nPrivacy: id\nSubject:\n\n"), "id\r\nX-Evil: 1")
	cfg := headersTarget(f, "49", "true")
	f.Fuzz(func(t *testing.T, text []byte, id string) { checkOutbound(t, cfg, text, id) })
}

// FuzzBuildOutboundParts is FuzzBuildOutbound with separate inputs for the important parts
// of the INVITE, so that more inputs can be parsed.
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

// Text that a caller puts into a number must not decide where the call goes.
func TestRenderURI(t *testing.T) {
	target, err := template.Parse("sip:{{.To.Number}}@sip.example.com:5060")
	must(t, err)
	for user, want := range map[string]string{
		"+15075785607":                  "sip:+15075785607@sip.example.com:5060",
		"alice":                         "sip:alice@sip.example.com:5060",
		"a%20b":                         "sip:a%20b@sip.example.com:5060",
		"x%40evil.example":              "sip:x%40evil.example@sip.example.com:5060",
		"+1507;phone-context=+1;a=b":    "sip:+1507@sip.example.com:5060",
		"alice;transport=tcp":           "sip:alice;transport=tcp@sip.example.com:5060",
		"evil@attacker.example":         "",
		"":                              "", // sip:@host is not a valid URI
		"//evil":                        "",
		"8@127.0.9.9:5090;x":            "", // text after the number, from a tel: URI
		"8@127.0.9.9:5090?x":            "",
		`1:x>;tag=evil;a="`:             "",
		"1:secret":                      "",
		"<x>":                           "",
		"a b":                           "",
		"x%4":                           "",
		"a@evil.example>;tag=1\r\nX: y": "",
	} {
		vars := template.Vars{To: template.Party{Number: message.NormaliseNumber(user, ""), User: user}}
		uri, err := renderURI(&peers.Dial{URI: target}, vars)
		got := ""
		if err == nil {
			got = uri.String()
		}
		if got != want {
			t.Errorf("user part %q: %q, %v; want %q", user, got, err, want)
		}
	}
}

// FuzzRenderURI checks that, for any called number, the call goes to the target's host.
func FuzzRenderURI(f *testing.F) {
	for _, user := range []string{"+15075785607", "%2B1507", "0301234567;phone-context=+49", "a@b", "1:2", "\r\n", "sip:x", "%", ";", "//x", "[::1"} {
		f.Add(user)
	}
	target, err := template.Parse("sip:{{.To.Number}}@target.example:5060")
	must(f, err)
	f.Fuzz(func(t *testing.T, user string) {
		number := message.NormaliseNumber(user, "1")
		uri, err := renderURI(&peers.Dial{URI: target}, template.Vars{To: template.Party{Number: number}})
		if err == nil && (uri.Host != "target.example" || uri.Port != 5060 || strings.ContainsFunc(uri.String(), unicode.IsControl)) {
			t.Errorf("%q gives %q", number, uri.String())
		}
	})
}

// FuzzIDsIn checks that, for any X-EI, the ids are not empty, contain no separator, and are
// no more than the header has parts.
func FuzzIDsIn(f *testing.F) {
	for _, seed := range []string{"S.a;E.b;O.+1;", "CA123", ";;", "E.FOO.x;", "S.", " E.a ; b", "E.;S.x"} {
		f.Add(seed)
	}
	token := regexp.MustCompile(`^([SEO])\.(.+)$`)
	f.Fuzz(func(t *testing.T, xei string) {
		ids := IDsIn(xei)
		first := map[string]string{}
		for part := range strings.SplitSeq(xei, ";") {
			if m := token.FindStringSubmatch(strings.TrimSpace(part)); m != nil && first[m[1]] == "" {
				first[m[1]] = m[2]
			}
		}
		for _, id := range ids {
			if name := map[bool]string{false: "S", true: "E"}[id.External]; len(first) > 0 && first[name] != id.Value {
				t.Errorf("%q: %s is %q; want %q", xei, name, id.Value, first[name])
			}
		}
		if want := len(first); len(ids) > 0 && want > 0 && len(ids) != want && first["O"] == "" {
			t.Errorf("%q: %d ids; want %d", xei, len(ids), want)
		}
		if len(ids) > 2 {
			t.Errorf("%q: %d ids", xei, len(ids))
		}
		for _, id := range ids {
			if id.Value == "" || strings.Count(xei, id.Value) == 0 || strings.Contains(id.Value, ";") || !strings.Contains(xei, id.Value) {
				t.Errorf("%q: id %q", xei, id.Value)
			}
		}
	})
}

func TestCarriersXEIMayHaveAnyTokens(t *testing.T) {
	passed, err := template.Parse(`{{.Header "X-Ei"}}`)
	must(t, err)
	if err := checkXEI(config.Header{Name: "X-EI", Value: passed}, "E.a;O.b;"); err != nil {
		t.Errorf("the carrier's own, passed on: %v", err)
	}
}

// must fails the test at once if err is not nil.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
