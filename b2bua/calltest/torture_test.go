package calltest

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/internal/memnet"
	"flowbridge/sim/siptest"
)

// tortureConfig sends every call to one agent.
const tortureConfig = `
sip: {listen: ["udp://198.51.100.1:5060", "tcp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks:
  - {name: carrier, sources: ["192.0.2.10"], max_duration: 1h}
targets:
  - {name: agent, kind: sip, uri: "sip:called@192.0.2.20:32681"}
routes:
  - {trunk: carrier, targets: [agent]}
`

// torture is a message of RFC 4475 with the expected result.
type torture struct {
	via     uint16 // port in Via, where the answer over UDP must go; 0 means the source port
	name    string
	section string // section of RFC 4475
	want    []int  // accepted statuses; empty if there must be no answer
	called  bool   // the message makes a call: the answer is the agent's 486
	text    string // a text that the reason phrase must contain
	header  string // a header line that the answer must have

	// The remaining fields are for tests over a connection.
	second string // beginning of the answer to the bytes after the first message
	ends   bool   // the connection is closed, because the beginning of the next message is unknown
}

var tortures = []torture{
	{name: "wsinv", section: "3.1.1.1", want: []int{481}}, // valid, but its To tag belongs to no dialog
	// Well-formed, with an unknown method (RFC 3261 section 8.2.1).
	{name: "intmeth", section: "3.1.1.2", want: []int{405, 501}},
	{name: "esc01", section: "3.1.1.3", want: []int{486}, called: true},
	{name: "escnull", section: "3.1.1.4", want: []int{405, 501}}, // REGISTER
	{name: "esc02", section: "3.1.1.5", want: []int{405, 501}},
	{name: "lwsdisp", section: "3.1.1.6", want: []int{200}},
	{name: "longreq", section: "3.1.1.7", want: []int{486}, called: true},
	{name: "dblreq", section: "3.1.1.8", want: []int{405, 501}}, // one answer: the bytes after the REGISTER are ignored
	{name: "semiuri", section: "3.1.1.9", want: []int{200}},
	{name: "transports", section: "3.1.1.10", want: []int{200}},
	{name: "mpart01", section: "3.1.1.11", want: []int{405, 501}}, // MESSAGE
	{name: "unreason", section: "3.1.1.12"},
	{name: "noreason", section: "3.1.1.13"},

	{name: "badinv01", section: "3.1.2.1", want: []int{400}, text: "Via"},
	{name: "clerr", section: "3.1.2.2", want: []int{400}, text: "Content-Length"},
	{name: "ncl", section: "3.1.2.3", want: []int{400}, text: "Content-Length"},
	{name: "scalar02", section: "3.1.2.4", want: []int{400}, text: "CSeq"},
	{name: "scalarlg", section: "3.1.2.5"},
	{name: "quotbal", section: "3.1.2.6", want: []int{400}, text: "To Has an Unclosed Quote", via: 5050},
	{name: "ltgtruri", section: "3.1.2.7", want: []int{400}, text: "Request-URI"},
	{name: "lwsruri", section: "3.1.2.8", want: []int{400}, text: "Request-URI"},
	{name: "lwsstart", section: "3.1.2.9", want: []int{400}, text: "Request-URI"},
	{name: "trws", section: "3.1.2.10", want: []int{400}, text: "Start Line"},
	{name: "escruri", section: "3.1.2.11", want: []int{400}, text: "Request-URI Has Headers"},
	// "An element wishing to minimize the number of 400s" may ignore the Date.
	{name: "baddate", section: "3.1.2.12", want: []int{486}, called: true},
	{name: "regbadct", section: "3.1.2.13", want: []int{405, 400}}, // REGISTER is not supported, whatever its Contact
	{name: "badaspec", section: "3.1.2.14", want: []int{400}, text: "To Has"},
	{name: "baddn", section: "3.1.2.15", want: []int{400}, text: "From Has a Comma"},
	{name: "badvers", section: "3.1.2.16", want: []int{505}},
	{name: "mismatch01", section: "3.1.2.17", want: []int{400}, text: "CSeq"},
	{name: "mismatch02", section: "3.1.2.18", want: []int{400, 501}},
	{name: "bigcode", section: "3.1.2.19"},

	{name: "badbranch", section: "3.2.1", want: []int{200}},

	{name: "insuf", section: "3.3.1", want: []int{400}, text: "From Is Missing"},
	{name: "unkscm", section: "3.3.2", want: []int{416}},
	{name: "novelsc", section: "3.3.3", want: []int{416}},
	{name: "unksm2", section: "3.3.4", want: []int{405, 501}}, // REGISTER
	{name: "bext01", section: "3.3.5", want: []int{420}, header: "Unsupported: nothingSupportsThis, nothingSupportsThisEither"},
	{name: "invut", section: "3.3.6", want: []int{415}, header: "Accept: " + message.AcceptedBodies},
	{name: "regaut01", section: "3.3.7", want: []int{405, 501}}, // REGISTER
	{name: "multi01", section: "3.3.8", want: []int{400}, text: "Comes Twice"},
	{name: "mcl01", section: "3.3.9", want: []int{400}, text: "Content-Length Comes Twice"},
	{name: "bcast", section: "3.3.10"},
	{name: "zeromf", section: "3.3.11", want: []int{200}}, // an endpoint ignores Max-Forwards
	{name: "cparam01", section: "3.3.12", want: []int{405, 501}},
	{name: "cparam02", section: "3.3.13", want: []int{405, 501}},
	{name: "regescrt", section: "3.3.14", want: []int{405, 501}},
	{name: "sdp01", section: "3.3.15", want: []int{406}},

	// "Should be accepted by elements that want to maintain backwards
	// compatibility"; we don't speak RFC 2543. It has no tag and no Contact.
	{name: "inv2543", section: "3.4.1", want: []int{400}, text: "From Has No Tag"},
}

// TestTorture sends the messages of RFC 4475 to the server, byte for byte, and checks
// after each that it accepts a good call.
func TestTorture(t *testing.T) {
	messages := siptest.RFC4475(t)
	if len(messages) != len(tortures) {
		t.Errorf("%d messages; the table has %d", len(messages), len(tortures))
	}
	for _, tt := range tortures {
		t.Run(tt.name, func(t *testing.T) {
			raw, ok := messages[tt.name]
			if !ok {
				t.Fatal("there is no such message")
			}
			inWorldWith(t, tortureConfig, func(w *world) { w.torture(tt, raw) })
		})
	}
}

// torture makes the carrier send one message, and checks the result.
func (w *world) torture(tt torture, raw []byte) {
	w.t.Helper()
	carrier := w.carrier
	var answers *peer // a peer at the port in Via
	at := carrierAddr
	if tt.via != 0 && carrier.transport() == "" {
		at = netip.AddrPortFrom(carrierAddr.Addr(), tt.via)
		answers = w.peer(at)
		w.others = append(w.others, answers)
	}
	elsewhere := w.watch(at)
	carrier.sendBytes(raw)
	if tt.called {
		w.agent.concludes(w.agent.expect("INVITE"), 486, "Busy Here", "busy", "")
	}
	synctest.Wait()
	time.Sleep(100 * time.Millisecond)
	synctest.Wait()
	if answers != nil {
		for _, m := range answers.rest() {
			carrier.in <- m
		}
	}
	carrier.wantAnswer(tt, raw)
	time.Sleep(40 * time.Second) // longer than any answer is retransmitted
	synctest.Wait()
	w.drain(time.Second)
	if got := elsewhere(); len(got) > 0 {
		w.t.Errorf("something was sent to %v", got)
	}
	w.sink.mu.Lock()
	if calls := len(w.sink.done); (calls > 0) != tt.called {
		w.t.Errorf("%d records; call: %v", calls, tt.called)
	}
	w.sink.done = nil
	w.sink.mu.Unlock()
	if carrier.transport() != "" {
		w.wantEnd(tt.ends)
	}
	w.goodCall()
}

// watch starts recording where the server sends messages, except to itself, the peers and
// also. elsewhere returns these destinations.
func (w *world) watch(also netip.AddrPort) (elsewhere func() []netip.AddrPort) {
	var mu sync.Mutex
	var others []netip.AddrPort
	ours := []netip.AddrPort{ourAddr, carrierAddr, agentAddr, agent2Addr, also}
	w.sw.SetFilter(func(_, to netip.AddrPort, _ []byte) memnet.Verdict {
		mu.Lock()
		defer mu.Unlock()
		if !slices.Contains(ours, to) {
			others = append(others, to)
		}
		return memnet.Deliver
	})
	return func() []netip.AddrPort {
		mu.Lock()
		defer mu.Unlock()
		return others
	}
}

// wantAnswer checks the carrier's answer to a message, and acknowledges it.
func (p *peer) wantAnswer(tt torture, raw []byte) {
	p.w.t.Helper()
	var finals []received
	for _, m := range p.rest() {
		if m.res().StatusCode >= 200 {
			finals = append(finals, m)
		}
	}
	if len(tt.want) == 0 {
		if len(finals) > 0 {
			p.w.t.Errorf("got\n%s\nwant silence", finals[0].raw)
		}
		return
	}
	if len(finals) == 0 {
		p.w.t.Fatalf("no answer; want one of %v", tt.want)
	}
	if tt.second != "" { // requests are answered in parallel, so the second answer may come first
		i := slices.IndexFunc(finals, func(m received) bool { return strings.HasPrefix(m.raw, tt.second) })
		if i < 0 || len(finals) < 2 {
			p.w.t.Fatalf("%d answers, %q at %d", len(finals), tt.second, i)
		}
		finals = slices.Delete(finals, i, i+1)
	}
	got, others := finals[0], finals[1:]
	if len(others) > 0 {
		p.w.t.Errorf("%d answers too many, the first\n%s", len(others), others[0].raw)
	}
	if !slices.Contains(tt.want, got.res().StatusCode) || !strings.Contains(got.res().Reason, tt.text) {
		p.w.t.Errorf("got\n%s\nwant one of %v, %q", got.raw, tt.want, tt.text)
	}
	if tt.header != "" && !strings.Contains(got.raw, "\r\n"+tt.header+"\r\n") {
		p.w.t.Errorf("got\n%s\nwant %q", got.raw, tt.header)
	}
	if tt.second == "" {
		p.wantEcho(got, raw)
	}
	if strings.HasPrefix(string(raw), "INVITE ") && !tt.ends {
		p.ackTorture(got)
	}
}

// wantEcho checks that an answer has the Via, From, Call-ID and CSeq of its request, and
// a To tag, with any white space (RFC 3261 section 8.2.6.2).
func (p *peer) wantEcho(answer received, request []byte) {
	p.w.t.Helper()
	for _, name := range []string{"from", "call-id", "cseq"} {
		if got, want := valuesOf(answer.raw, name), valuesOf(string(request), name); len(want) > 0 && !slices.Equal(got, want[:1]) {
			p.w.t.Errorf("echo: %q; want %q", got, want[:1])
		}
	}
	if got, want := valuesOf(answer.raw, "via"), valuesOf(string(request), "via"); !slices.Equal(got, want) {
		p.w.t.Errorf("Vias: %q; want %q", got, want)
	}
	if to := answer.value("To"); to != "" && !strings.Contains(to, ";tag=") {
		p.w.t.Errorf("no To tag:\n%s", answer.raw)
	}
}

// valuesOf returns the values of one header, without irrelevant differences.
func valuesOf(raw, want string) (values []string) {
	_, headers, _ := strings.Cut(raw, "\n")
	for line := range strings.Lines(folds.ReplaceAllString(headers, " ")) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\r\n"), ":")
		if name == "" {
			return values
		}
		if fullName(name) != want {
			continue
		}
		for more := true; more; {
			one := value
			if more = want == "via"; more {
				one, value, more = message.CutUnquoted(value, ',')
			}
			values = append(values, essence(one, want))
		}
	}
	return values
}

var (
	folds   = regexp.MustCompile(`\r?\n[ \t]+`)
	nameURI = regexp.MustCompile(`^\s*"?((?:\\.|[^"<])*?)"?\s*<([^>]*)>(.*)$`)
)

// fullName returns the full name of a header in lower case.
func fullName(name string) string {
	name = strings.ToLower(strings.TrimSpace(name))
	if full := map[string]string{"v": "via", "f": "from", "t": "to", "i": "call-id"}[name]; full != "" {
		return full
	}
	return name
}

// essence returns a header's value without white space, and without parts that we or the
// SIP library add or spell differently.
func essence(value, name string) string {
	switch fields := strings.Fields(value); {
	case name == "from" && !strings.Contains(value, "<"):
		uri, params, _ := strings.Cut(strings.TrimSpace(value), ";")
		value = "<" + uri + ">;" + params
	case name == "from":
		value = nameURI.ReplaceAllString(value, "$1<$2>$3")
	case name == "cseq" && len(fields) == 2:
		if n, err := strconv.Atoi(fields[0]); err == nil {
			value = strconv.Itoa(n) + fields[1]
		}
	case name == "via":
		value, _, _ = strings.Cut(value, ";received=")
		value, _, _ = strings.Cut(value, ";rport")
	}
	return strings.Join(strings.Fields(strings.ReplaceAll(value, ";", " ; ")), "")
}

// ackTorture acknowledges the refusal of an INVITE from RFC 4475.
func (p *peer) ackTorture(answer received) {
	var b strings.Builder
	b.WriteString("ACK sip:198.51.100.1 SIP/2.0\n")
	for line := range strings.SplitSeq(answer.raw, "\r\n") {
		name, value, found := strings.Cut(line, ":")
		switch name = fullName(name); {
		case found && name == "cseq":
			b.WriteString("CSeq: " + strings.Fields(value)[0] + " ACK\n")
		case found && slices.Contains([]string{"via", "from", "to", "call-id"}, name):
			b.WriteString(line + "\n")
		}
	}
	p.send(b.String() + "Max-Forwards: 70\nContent-Length: 0\n\n")
}
