package leg

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// plays plays several scripts, separated by empty lines. The first line of each makes the leg (see legOf).
func plays(t *testing.T, scripts string) {
	t.Helper()
	for script := range strings.SplitSeq(strings.TrimSpace(scripts), "\n\n") {
		first, steps, _ := strings.Cut(script, "\n")
		legOf(t, first).play(steps)
	}
}

// legOf makes a leg: "uac" or "uas", options, a state of uacStates or uasStates; the header lines of its INVITE. The
// options: called, auth (called, with credentials), rel100, required (100rel), expires (in 90 s), late (no offer).
func legOf(t testing.TB, text string) *legTest {
	t.Helper()
	parts := strings.Split(text, " | ")
	kind, state, _ := strings.Cut(parts[0], " ")
	lt, states := newUAC(t), uacState
	if kind == "uas" {
		lt, states = newUAS(t, parts[1:]...), uasState
	}
	for {
		option, rest, _ := strings.Cut(state, " ")
		switch peer := &lt.Leg.Peer; option {
		case "":
			return lt
		case "called":
			lt.do(inviteOut(headersOf(parts[1:])...))
		case "auth":
			lt.do(inviteWithAuth(headersOf(parts[1:])...))
		case "rel100":
			peer.Rel100 = config.Rel100Supported
		case "required":
			peer.Rel100 = config.Rel100Required
		case "expires":
			peer.SessionExpires = 90 * time.Second
		case "late":
			lt.Leg.invite.SetBody(nil)
			lt.Leg.session = negotiation{}
		default:
			steps, known := states[state]
			if !known {
				t.Fatalf("no leg is like %q", text)
			}
			lt.play(steps)
			return lt
		}
		state = rest
	}
}

// headersOf parses header lines.
func headersOf(lines []string) (headers []sip.Header) {
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		headers = append(headers, sip.NewHeader(name, value))
	}
	return headers
}

// play gives the leg the steps of a script. Steps are separated by line ends or semicolons; a # begins a comment.
//
//	180 agent | Allow: UPDATE -> progress 180   an input (see input), and what comes out (see show)
//	deadline 32s -> gone no_ack, BYE            the leg's deadline comes, so long after LegStart (may be left out)
//	BYE has CSeq: 3 BYE | Tag: fork             what has just come out, by method or code, and its lines (see line); *: any
//	+5s                                         time passes
//	done, not done, no deadline, waits 45s, state calling: as it is now
func (lt *legTest) play(script string) {
	lt.t.Helper()
	for line := range strings.Lines(script) {
		line, _, _ = strings.Cut(line, "# ")
		for step := range strings.SplitSeq(strings.TrimSpace(line), " ; ") {
			text, want, wanted := strings.Cut(strings.TrimSpace(step), " -> ")
			if text == "" || lt.holds(text) {
				continue
			}
			got := lt.gives(text)
			if got == "" {
				got = "nothing"
			}
			if wanted && got != want {
				lt.t.Errorf("%q gave %q; want %q\nin %s", text, got, want, script)
			}
		}
	}
}

// gives gives the leg the input of a step, and returns the output as text.
func (lt *legTest) gives(text string) string {
	lt.t.Helper()
	at, deadline := strings.CutPrefix(text, "deadline")
	if !deadline {
		return lt.do(lt.input(text))
	}
	got := lt.deadline()
	if after := lt.now.Sub(LegStart); at != "" && at != " "+after.String() {
		lt.t.Errorf("%q: the deadline was %v after the start", text, after)
	}
	return got
}

// holds reports whether a step is a check, or lets time pass, and so is not an input.
func (lt *legTest) holds(step string) bool {
	lt.t.Helper()
	word, rest, _ := strings.Cut(step, " ")
	waits := ""
	if d := lt.Leg.Deadline(); !d.IsZero() {
		waits = d.Sub(lt.now).String()
	}
	fail := false
	switch {
	case strings.HasPrefix(rest, "has "):
		for want := range strings.SplitSeq(rest[len("has "):], " | ") {
			name, value, _ := strings.Cut(want+" ", ": ")
			got := lt.line(word, strings.TrimSuffix(name, ":"))
			if value = strings.TrimSpace(lt.filled(value)); got != value && (value != "*" || got == "") {
				lt.t.Errorf("%s has %s: %q; want %q", word, name, got, value)
			}
		}
	case word[0] == '+':
		d, err := time.ParseDuration(word[1:])
		if lt.now = lt.now.Add(d); err != nil {
			lt.t.Fatal(err)
		}
	case step == "done":
		fail = !lt.Leg.Done()
	case step == "not done":
		fail = lt.Leg.Done()
	case step == "no deadline":
		fail = waits != ""
	case word == "waits":
		fail = waits != rest
	case word == "state":
		fail = lt.Leg.state != map[string]legState{
			"calling": legCalling, "proceeding": legProceeding, "accepted": legAccepted, "confirmed": legConfirmed,
		}[rest]
	default:
		return false
	}
	if fail {
		lt.t.Errorf("want %q; the leg is in state %d, waits %q", step, lt.Leg.state, waits)
	}
	return true
}

// line returns all values of a header in the last output. Besides headers, name may be URI, Hop, Tag (of To), SDP, or
// Digest: realm, nonce and count of the credentials, which are also checked.
func (lt *legTest) line(what, name string) string {
	lt.t.Helper()
	var msg sip.Message
	var req *sip.Request
	var to Hop
	if code, err := strconv.Atoi(what); err == nil {
		msg = lt.responseOf(code)
	} else {
		req, to = lt.request(sip.RequestMethod(what))
		msg = req
	}
	var values []string
	switch name {
	case "URI":
		return req.Recipient.String()
	case "Hop":
		return showHop(to)
	case "Tag":
		return message.TagOf(msg.To().Params)
	case "SDP":
		return strings.ReplaceAll(strings.TrimSpace(string(msg.Body())), "\r\n", " ")
	case "Digest":
		for _, name := range []string{"Authorization", "Proxy-Authorization"} {
			for _, c := range siptest.SentCredentials(lt.t, req, name) {
				siptest.CheckCredentials(lt.t, req, c, "bob", "zanzibar")
				values = append(values, fmt.Sprint(c.Realm, " ", c.Nonce, " ", c.Nc))
			}
		}
	default:
		for _, h := range msg.GetHeaders(name) {
			values = append(values, h.Value())
		}
	}
	return strings.Join(values, ", ")
}

// responseOf returns the response with this status in the last output.
func (lt *legTest) responseOf(code int) *sip.Response {
	lt.t.Helper()
	for _, e := range lt.last {
		if r, ok := e.(SendResponse); ok && r.Res.StatusCode == code {
			return r.Res
		}
	}
	lt.t.Fatalf("no response %d among %s", code, show(nil, lt.last))
	return nil
}

// filled replaces $rseq, the RSeq of the leg's first reliable answer, and the names of the following RSeqs, by numbers.
func (lt *legTest) filled(s string) string {
	for i := range uint32(3) {
		s = strings.ReplaceAll(s, "$rseq+"+fmt.Sprint(i), fmt.Sprint(lt.rseq+i))
	}
	return s
}

// input reads an input. " | " begins each of its header lines; " sdp" at the end gives it a session description.
//
//	invite first=4s ring=1m, abandon WHY           of the call, to a leg that calls
//	183 TAG sdp, 183 TAG rseq=7 sdp, 200 TAG bare  of the target, to the INVITE; a 200 that is not bare has SDP
//	ring 180, answer, refuse 486                   of the call, to a leg that was called
//	hangup WHY, offer TEXT, accept, reject 488     of the call
//	BYE 12, cancel 10                              a request of the peer with this CSeq
//	401 to BYE, 401 to first BYE, failed BYE WHY   the answer to our last or first BYE, or none
//	lost 10                                        FinalLost
//	due                                            DeadlineReached at any time
func (lt *legTest) input(text string) Input {
	lt.t.Helper()
	text, carries := strings.CutSuffix(lt.filled(text), " sdp")
	parts := strings.Split(text, " | ")
	words, headers := append(strings.Fields(parts[0]), "", ""), parts[1:]
	sdp := map[bool]string{true: "v=0\r\n"}[carries]
	number, _ := strconv.Atoi(words[1])
	switch why := cause.Cause(words[1]); words[0] {
	case "invite":
		in := inviteOut()
		for _, word := range words[1:] {
			name, value, _ := strings.Cut(word, "=")
			d, _ := time.ParseDuration(value)
			switch name {
			case "first":
				in.FirstResponse = d
			case "ring":
				in.RingTimeout = d
			}
		}
		return in
	case "abandon":
		return Abandon{Why: why}
	case "ring":
		return rings(number, sdp)
	case "answer":
		return Answer{SDP: []byte("v=0\r\n")}
	case "refuse":
		return Refuse{Code: number, Reason: "No"}
	case "hangup":
		return Hangup{Why: why}
	case "offer":
		return Offer{Ref: 1, SDP: []byte("v=0\r\no=" + words[1])}
	case "accept":
		return Accept{SDP: []byte("v=0\r\n")}
	case "reject":
		return Reject{Code: number, Reason: "No"}
	case "cancel":
		return CancelIn{Seq: uint32(number)}
	case "lost":
		return FinalLost{Seq: uint32(number)}
	case "due":
		return DeadlineReached{}
	case "failed":
		in := lt.failed(sip.RequestMethod(words[1]))
		if words[2] != "" {
			in.Cause = cause.Cause(words[2])
		}
		return in
	}
	code, err := strconv.Atoi(words[0])
	rseq, reliable := strings.CutPrefix(words[2], "rseq=")
	switch {
	case err != nil && words[0] != strings.ToUpper(words[0]):
		lt.t.Fatalf("no step is like %q", text)
	case err != nil:
		return lt.peers(words[0], uint32(number), carries, headers)
	case words[1] == "to":
		return lt.answersOpen(words[2:], code, headers)
	case reliable:
		n, _ := strconv.Atoi(rseq)
		return reliableTo(lt, words[1], n, sdp, headers...)
	case code == 200 && words[2] == "bare":
		return lt.answerTo(200, words[1], "", append(headers, "Contact: <sip:agent@192.0.2.20:5099>")...)
	case code == 200:
		return lt.ok(words[1], headers...)
	}
	return lt.answerTo(code, words[1], sdp, headers...)
}

// peers returns a request of the peer within the dialog, as an input.
func (lt *legTest) peers(method string, seq uint32, carries bool, headers []string) RequestIn {
	lt.t.Helper()
	var in RequestIn
	if lt.Leg.UAS {
		in = inDialog(lt.t, method, seq, headers...)
	} else {
		in = agentDialog(lt.t, lt, method, seq, headers...)
	}
	if carries {
		return carrying(in)
	}
	return in
}

// answersOpen returns the peer's answer to our last request with this method, or to our first one if the words say so.
func (lt *legTest) answersOpen(words []string, code int, lines []string) ResponseIn {
	lt.t.Helper()
	sent := lt.sent
	if words[0] == "first" {
		sent, words = lt.sentFirst, words[1:]
	}
	req := sent[sip.RequestMethod(words[0])]
	if req == nil {
		lt.t.Fatalf("no %s was sent", words[0])
	}
	in := ResponseIn{Res: sip.NewResponseFromRequest(req, code, "Whatever", nil), Source: siptest.Agent}
	if lt.Leg.UAS {
		in.Source = siptest.Carrier
	}
	for _, h := range headersOf(lines) {
		in.Res.AppendHeader(h)
	}
	return in
}

// everyStateAndInput checks a table of outputs, with a row for each input and a column for each state. "." means no
// output, and "-" skips the combination. A row continues after a backslash.
func everyStateAndInput(t *testing.T, in func(testing.TB, string) *legTest, states []string, table string) {
	t.Helper()
	for row := range strings.Lines(strings.ReplaceAll(strings.TrimSpace(table), "\\\n", "")) {
		input, cells, _ := strings.Cut(strings.TrimSpace(row), ": ")
		wants := strings.Split(cells, " / ")
		if len(wants) != len(states) {
			t.Fatalf("%s: %d columns; want %d", input, len(wants), len(states))
		}
		for i, state := range states {
			want := strings.NewReplacer("~", "/", ".", "").Replace(strings.TrimSpace(wants[i]))
			if want == "-" {
				continue
			}
			t.Run(input+"/"+state, func(t *testing.T) {
				lt := in(t, state)
				lt.want(lt.do(lt.input(input)), want)
			})
		}
	}
}
