package outbound

import (
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/sim/siptest"
)

func TestPass(t *testing.T) {
	for _, tt := range []struct {
		name    string
		pass    []string
		privacy Privacy
		trusted bool
		headers []string
		want    string // "name: value", several separated by |
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
			o.pass(config.PassNamed(tt.pass...), Inbound{Source: siptest.InviteFrom(t, "<sip:a@b>;tag=x", tt.headers...), Trusted: tt.trusted, Privacy: tt.privacy})
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

// The parser treats a lone LF as part of the value, but other parsers take it for the end
// of the header.
func TestPassLoneLF(t *testing.T) {
	bad := []sip.Header{sip.NewHeader("X-A", "1"), sip.NewHeader("X-A", "a\nX-Evil: b"), sip.NewHeader("X-B", "2")}
	out, dropped := Passed(bad, config.PassNamed("X-A", "X-B"))
	if len(out) != 1 || out[0].String() != "X-B: 2" || !slices.Equal(dropped, []string{"X-A"}) {
		t.Errorf("%v, left out %v", out, dropped)
	}
	long := []sip.Header{sip.NewHeader("X-A", strings.Repeat("a", message.MaxPassedValue+1))}
	for range maxPassed {
		long = append(long, sip.NewHeader("X-B", "1"))
	}
	out, dropped = Passed(append(long, sip.NewHeader("X-C", "1")), config.PassNamed("X-A", "X-B", "X-C"))
	if len(out) != maxPassed || !slices.Equal(dropped, []string{"X-A", "X-C"}) {
		t.Errorf("%d headers, left out %v", len(out), dropped)
	}
}

// A list entry may rename a header, and may convert User-to-User to text or back. A
// withheld value is withheld under the new name as well.
func TestPassMapped(t *testing.T) {
	uui := "User-to-User"
	for _, tt := range []struct {
		name          string
		pass          []config.Pass
		privacy       Privacy
		headers       []string
		want, dropped string
	}{
		{"renamed, byte for byte", []config.Pass{{From: "X-Data", To: "X-Context"}}, Privacy{}, []string{"x-data: 56a3;encoding=hex;purpose=x"}, "X-Context: 56a3;encoding=hex;purpose=x", ""},
		{"as it came", config.PassNamed(uui), Privacy{}, []string{"user-to-user: 56a3;encoding=hex;purpose=x"}, uui + ": 56a3;encoding=hex;purpose=x", ""},
		{"twice", []config.Pass{{From: "X-A", To: "X-A"}, {From: "X-A", To: "X-B"}}, Privacy{}, []string{"X-A: 1"}, "X-A: 1|X-B: 1", ""},
		{"decoded", []config.Pass{{From: uui, To: "X-Context"}}, Privacy{}, []string{uui + ": 04616263;encoding=hex", uui + ": 64;encoding=hex"}, "X-Context: abc|X-Context: d", ""},
		{"not hex", []config.Pass{{From: uui, To: "X-Context"}}, Privacy{}, []string{uui + ": 6;encoding=hex"}, "", "X-Context"},
		{"a line end in it", []config.Pass{{From: uui, To: "X-Context"}}, Privacy{}, []string{uui + ": 610d0a582d4576696c3a31;encoding=hex"}, "", "X-Context"},
		{"many in one", []config.Pass{{From: uui, To: "X-Context"}}, Privacy{}, []string{uui + ": a" + strings.Repeat(",a", maxPassed-1)}, "X-Context: a" + strings.Repeat("|X-Context: a", maxPassed-1), ""},
		{"too many in one", []config.Pass{{From: uui, To: "X-Context"}}, Privacy{}, []string{uui + ": a" + strings.Repeat(",a", maxPassed)}, "", "X-Context"},
		{"too many to encode", []config.Pass{{From: "X-A", To: uui}}, Privacy{}, slices.Repeat([]string{"X-A: a"}, maxPassed+1), "", uui},
		{"too long, encoded", []config.Pass{{From: "X-A", To: uui}}, Privacy{}, []string{"X-A: " + strings.Repeat("a", message.MaxPassedValue/2)}, "", uui},
		{"encoded", []config.Pass{{From: "X-A", To: uui}}, Privacy{}, []string{"X-A: abc"}, uui + ": 00616263;encoding=hex", ""},
		{"withheld", []config.Pass{{From: "P-Asserted-Identity", To: "X-Caller"}}, Privacy{number: true}, []string{"P-Asserted-Identity: <sip:1@h>"}, "", "X-Caller"},
		{"an identity by another name", []config.Pass{{From: "X-Caller", To: "Remote-Party-ID"}}, Privacy{number: true}, []string{"X-Caller: <sip:1@h>"}, "", "Remote-Party-ID"},
		{"a pattern takes neither end", append(config.PassNamed("X-*"), config.Pass{From: "X-A", To: "X-B"}), Privacy{}, []string{"X-A: 1", "X-B: 2", "X-C: 3"}, "X-C: 3|X-B: 1", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o, in := &Draft{}, Inbound{Source: siptest.InviteFrom(t, "<sip:a@b>;tag=x", tt.headers...), Trusted: true, Privacy: tt.privacy}
			o.pass(Wanted(tt.pass, in.Source.Headers(), nil), in)
			var got []string
			for _, f := range o.passed {
				for _, v := range f.Values {
					got = append(got, f.Name+": "+v)
				}
			}
			if g := strings.Join(got, "|"); g != tt.want || strings.Join(o.Dropped, " ") != tt.dropped {
				t.Errorf("%q, left out %v; want %q, %q", g, o.Dropped, tt.want, tt.dropped)
			}
			if tt.privacy != (Privacy{}) {
				return
			}
			got = nil
			out, dropped := Passed(in.Source.Headers(), tt.pass)
			for _, h := range out {
				got = append(got, h.Name()+": "+h.Value())
			}
			if g := strings.Join(got, "|"); g != tt.want || strings.Join(dropped, " ") != tt.dropped {
				t.Errorf("toward the carrier %q, left out %v; want %q, %q", g, dropped, tt.want, tt.dropped)
			}
		})
	}
}

func TestWanted(t *testing.T) {
	long := "X-" + strings.Repeat("a", maxPassedName-2)
	for _, tt := range []struct{ name, list, headers, want string }{
		{"names alone", "X-B X-A", "X-A X-C", "X-B X-A"},
		{"in the message's order", "X-*", "x-b Reason X-A X-b X-a", "x-b X-A"},
		{"the name itself", "X-*", "X- X", "X-"},
		{"listed by name too", "X-* X-A", "x-a X-B", "X-B X-A"},
		{"two that overlap", "X-A* X-*", "X-AB X-B X-ABC", "X-AB X-ABC X-B"},
		{"what belongs to one side", "Co* Re* vi* Su*", "Contact Content-Type Require Record-Route Via Reason Supported Subject", "Reason Subject"},
		{"compact", "sub* id*", "s k y i", "Subject Identity"},
		{"the platform's id", "X-*", "X-EI x-ei X-Eins", "X-Eins"},
		{"what is configured", "X-*", "X-Set X-Setting", "X-Setting"},
		{"no name", "X-*", "X-a" + "\n" + "b X-\x00 X-ä X-(a)", ""},
		{"too long", "X-*", long + "a " + long, long},
	} {
		var headers []sip.Header
		for n := range strings.SplitSeq(tt.headers, " ") {
			headers = append(headers, sip.NewHeader(n, "1"))
		}
		var got []string
		for _, p := range Wanted(config.PassNamed(strings.Fields(tt.list)...), headers, []config.Header{{Name: "x-set"}}) {
			if got = append(got, p.To); p.From != p.To {
				t.Errorf("%s: %s is passed as %s", tt.name, p.From, p.To)
			}
		}
		if g := strings.Join(got, " "); g != tt.want {
			t.Errorf("%s: got %q; want %q", tt.name, g, tt.want)
		}
	}
}

// FuzzPassedOn checks a refusal that is passed on to the carrier with the target's reason
// phrase, Q.850 cause and listed headers. Whatever the target writes, our answer has
// exactly the lines that we give it.
func FuzzPassedOn(f *testing.F) {
	f.Add("Busy Here", "Q.850;cause=17;text=\"busy\"", "X-Foo: bar")
	f.Add("No\nX-Evil: 1", "Q.850 ;cause=999, SIP;cause=200, q.850;CAUSE= 16 ", "X-Foo: a\nb\nX-Foo:\t\n c")
	f.Add("\u0085\x7f\xff", "Q.850;cause=-1;;=", "X-Foo: "+strings.Repeat("x", 2000)+"\nRetry-After: 5 (\r)")
	f.Add("0", "0 ", " \n00")
	f.Fuzz(func(t *testing.T, reason, q850, header string) {
		if n := cause.Q850In([]string{q850}); n < 0 || n > 127 {
			t.Errorf("%q gives Q.850 cause %d", q850, n)
		}
		text := "SIP/2.0 486 " + reason + "\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=x\r\nTo: <sip:c@d>;tag=y\r\n" +
			"Call-ID: one\r\nCSeq: 1 INVITE\r\nReason: " + q850 + "\r\n" + header + "\r\nContent-Length: 0\r\n\r\n"
		msg, err := message.Parse([]byte(text))
		if err != nil {
			return
		}
		res, ok := msg.(*sip.Response)
		if !ok {
			return
		}
		headers, _ := Passed(res.Headers(), config.PassNamed("X-Foo", "Retry-After", "Reason", "Warning", "X-*"))
		out := sip.NewResponse(res.StatusCode, message.Phrase(res.Reason))
		out.AppendHeader(sip.NewHeader("Server", leg.AgentName)) // without any header the library adds an extra empty line
		for _, h := range headers {
			out.AppendHeader(h)
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\r\n\r\n"), "\r\n")
		if len(lines) != 2+len(headers) || strings.ContainsFunc(strings.Join(lines, ""), func(r rune) bool { return template.IsControl(r) && r != '\t' }) {
			t.Errorf("%d headers give %q", len(headers), lines)
		}
		if len(headers) > maxPassed || len(lines[0]) > message.MaxPhrase+len("SIP/2.0 486 ") {
			t.Errorf("%d headers, start line of %d bytes", len(headers), len(lines[0]))
		}
	})
}
