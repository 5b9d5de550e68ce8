package calltest

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing/synctest"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/internal/memnet"
	"flowbridge/media"
	"flowbridge/sim/siptest"
)

type actor struct {
	*story
	name       string
	p          *peer
	side       media.Side
	at         netip.AddrPort
	port       int
	tag        string
	d          *dialogue           // the dialog of a caller
	invite     received            // the INVITE that begins the call
	last       received            // the last request that came
	older      received            // the request before the last one
	got        map[string]received // the last request of each method
	answers    []received          // final answers to its own INVITEs and UPDATEs
	early      received            // the last provisional answer with early media
	was        map[string]string
	refused    received // the INVITE that it refused
	seq, asked int      // CSeqs: of its newest request, and of the last one that it sent
	l          *streamAgent
	ways       []*peer // the peer over UDP, then one for each connection
	sent       string  // text of its last request
	dialled    string  // text of its INVITE
}

// signals carries out a SIP step. It returns false if verb is not a SIP step.
func (a *actor) signals(verb string) bool {
	a.w.t.Helper()
	st := a.step
	switch last := st.words[len(st.words)-1]; verb {
	case "calls":
		a.calls(st)
	case "gets":
		a.gets(st.words[1], st.session, append(st.words[2:], st.headers...))
	case "says":
		a.says(st)
	case "acks":
		a.acks(a.answers[len(a.answers)-len(st.words)], a.described(st))
	case "cancels":
		a.cancels(st.headers)
	case "gives":
		a.givesUp()
	case "hangs":
		a.hangsUpOn(a.actors[last], st.headers)
	case "repeats":
		a.p.send(map[int]string{1: a.sent, 2: a.dialled}[len(st.words)])
	case "notified":
		a.learn(a.p.notified(st.words[1], st.words[2]))
	case "silent":
		a.p.silent(a.duration(last))
	case "presses":
		for _, digit := range []byte(last) {
			a.w.session().onEvent(media.EventDigit{Side: a.side, Digit: digit, Duration: 100 * time.Millisecond})
		}
	case "drains":
		a.p.drainFor(a.duration(last))
	case "took":
		a.since(a.said, last)
	case "lasted":
		a.since(a.began, last)
	default:
		return false
	}
	return true
}

// moves carries out a step about connections or media. It returns false if verb is no such step.
func (a *actor) moves(verb string) bool {
	a.w.t.Helper()
	st := a.step
	switch t, e, last := a.w.t, (&end{p: a.p, side: a.side}), st.words[len(st.words)-1]; verb {
	case "hears":
		if len(st.words) > 1 && st.words[1] == "nothing" {
			a.p.drainFor(a.duration(last))
			a.w.session().onEvent(media.EventSilent{Since: a.duration(last), Never: true})
			return true
		}
		a.hears(strings.Join(st.words[1:], " "))
	case "not": // "not heard": no media goes to it
		if to := a.w.session().peers[a.side].RTP; to.IsValid() {
			t.Errorf("media goes to %v", to)
		}
	case "changed":
		if got, want := e.payloads(), strings.Join(st.words[1:], " "); got != want {
			t.Errorf("what it sends is changed by %q; want %q", got, want)
		}
	case "transcoded":
		if got, want := a.transcoded(), strings.Join(st.words[1:], " "); got != want {
			t.Errorf("transcoded is %q; want %q", got, want)
		}
	case "listens":
		a.l = a.w.streamAgent(a.at)
	case "leaves":
		a.l.l.Close()
	case "accepts":
		a.p = a.l.accept()
		a.ways = append(a.ways, a.p)
	case "connects":
		a.p = a.w.connect(a.at.Addr())
		a.ways = append(a.ways, a.p)
	case "has":
		a.p = a.ways[map[string]int{"TCP": len(a.ways) - 1, "another": len(a.ways) - 2}[st.words[1]]]
	case "pings":
		a.p.send(siptest.OptionsOverTCP)
	case "resets":
		a.p.conn.(*memnet.Stream).Reset()
	case "reads": // "reads no more"
		must(t, a.p.conn.(*memnet.Stream).CloseRead())
	case "cut": // "cut off": the server closes the connection
		a.p.hungUp(time.Second)
	case "closes":
		a.p.conn.Close()
	default:
		return false
	}
	return true
}

func (a *actor) calls(st step) {
	a.d = a.p.newCall("+" + st.words[1])
	if a.d.extra = strings.Join(append(st.headers, ""), "\n"); st.has {
		a.d.sdp = a.described(st)
	}
	if slices.Contains(st.words, "late") {
		a.d.sdp = ""
	}
	a.seq, a.asked, a.said, a.began = 0, 0, time.Now(), time.Now()
	a.story.calls++
	invite := a.d.request("INVITE")
	if i := slices.Index(st.words, "at"); i > 0 {
		invite = regexp.MustCompile("Contact: .*").ReplaceAllString(invite, "Contact: "+st.words[i+1])
	}
	a.p.send(invite)
	a.sent, a.dialled = invite, invite
	a.d.extra = ""
}

// described returns a session description from a step: formats, :port, host=address, and other words as attributes.
func (a *actor) described(st step) string {
	if !st.has {
		return strings.ReplaceAll(st.body, `\n`, "\n")
	}
	host, port, formats, attributes := a.at.Addr().String(), a.port, []string{}, []string{}
	for word := range strings.FieldsSeq(st.session) {
		switch _, err := strconv.Atoi(word); {
		case err == nil:
			formats = append(formats, word)
		case word == "lower": // codec names in lower case, which SDP allows
			st.session = strings.Replace(st.session, word, "", 1)
			s := strings.ToLower(a.described(st))
			return strings.ReplaceAll(strings.ReplaceAll(s, "rtp/avp", "RTP/AVP"), "in ip4", "IN IP4")
		case word == "nonsense":
			return "v=0\r\n"
		case word == "homeless":
			st.session = strings.Replace(st.session, word, "", 1)
			return withoutAddress(a.described(st))
		case word[0] == ':':
			port, _ = strconv.Atoi(word[1:])
		case strings.HasPrefix(word, "host="):
			host = word[len("host="):]
		default:
			attributes = append(attributes, "a="+word)
		}
	}
	if len(formats) == 0 {
		formats = []string{"0", "101"}
	}
	return siptest.SessionAt(host, port, strings.Join(formats, " "), attributes...)
}

// gets expects the next message: a request or an answer. "200+487" means two answers in any order.
func (a *actor) gets(what, session string, has []string) {
	a.w.t.Helper()
	if codes := strings.Split(what, "+"); len(codes) > 1 {
		for _, m := range (&end{p: a.p}).finals(codes...) {
			a.learn(m)
		}
		return
	}
	if what[0] >= '1' && what[0] <= '6' {
		what = "SIP/2.0 " + what
	}
	m := a.p.expect(what)
	a.learn(m)
	if session != "" {
		a.describes(m, session)
	}
	for _, h := range has {
		a.has(m, h)
	}
	a.was[m.raw[:4]] = m.raw
}

// learn remembers the parts of a message that later steps need. It also checks that an ACK or CANCEL matches its INVITE
// (RFC 3261 sections 17.1.1.3 and 9.1).
func (a *actor) learn(m received) {
	a.w.t.Helper()
	method, _, _ := strings.Cut(m.raw, " ")
	a.got[method] = m
	switch method {
	case "SIP/2.0":
		if a.d != nil && m.value("CSeq") == fmt.Sprint(a.d.seq, " INVITE") {
			a.d.learn(m)
		}
		if m.raw[8] == '1' {
			a.early = m
		} else if cseq := m.value("CSeq"); strings.HasSuffix(cseq, " INVITE") || strings.HasSuffix(cseq, " UPDATE") {
			a.answers = append(a.answers, m)
		}
	case "ACK":
		if a.refused.Message != nil { // RFC 3261 section 17.1.1.3
			for _, name := range []string{"Via", "From", "Call-ID"} {
				a.has(m, name+": "+strings.Join(a.refused.values(name), ", "))
			}
			a.has(m, "To: ~"+a.refused.value("To"))
			a.has(m, "CSeq: "+strings.Replace(a.refused.value("CSeq"), "INVITE", "ACK", 1))
		}
	case "CANCEL": // RFC 3261 section 9.1
		for _, name := range []string{"Via", "To", "From", "Call-ID"} {
			a.has(m, name+": "+a.last.value(name))
		}
		a.has(m, "CSeq: "+strings.Replace(a.last.value("CSeq"), "INVITE", "CANCEL", 1))
		if m.req().Recipient.String() != a.last.req().Recipient.String() {
			a.w.t.Errorf("CANCEL\n%s\nof\n%s", m.raw, a.last.raw)
		}
	default:
		if a.d != nil && message.TagOf(m.req().To().Params) == "ann" {
			a.has(m, "From: ~tag="+a.d.toTag)
		}
		if a.older, a.last = a.last, m; method == "INVITE" && message.TagOf(m.req().To().Params) == "" {
			a.invite, a.seq = m, 0
		}
	}
}

// has checks one expectation about a message: "bare" (it has no body), "same" (its body is that of the early media),
// "again" (it repeats the last message), "later" (its CSeq is higher), or a header and its value. The value * matches
// anything, and ~x matches a value that contains x. The header "text" means the whole message.
func (a *actor) has(m received, want string) {
	a.w.t.Helper()
	name, value, _ := strings.Cut(want+" ", ": ")
	got, value := strings.Join(m.values(name), ", "), strings.TrimSpace(value)
	part, contains := strings.CutPrefix(value, "~")
	switch {
	case want == "bare":
		if len(m.Body()) > 0 {
			a.w.t.Errorf("want no body:\n%s", m.raw)
		}
		return
	case name == "body":
		got, value = string(m.Body()), strings.ReplaceAll(value, `\n`, "\r\n")
	case want == "same": // the body of the early media
		got, value = string(m.Body()), string(a.early.Body())
	case want == "later": // the CSeq is higher than last time
		var seq [2]int
		_, _ = fmt.Sscan(m.value("CSeq"), &seq[0])
		_, _ = fmt.Sscan(a.older.value("CSeq"), &seq[1])
		if seq[0] <= seq[1] {
			a.w.t.Errorf("CSeq %d after %d", seq[0], seq[1])
		}
		return
	case want == "again":
		got, value = m.raw, a.was[m.raw[:4]]
	case name == "URI":
		got = m.req().Recipient.String()
	case name == "text":
		got = m.raw
	case strings.HasPrefix(value, "<="):
		n, err := strconv.Atoi(got)
		if most, _ := strconv.Atoi(value[2:]); err == nil && n >= 0 && n <= most {
			return
		}
	}
	if contains && !strings.Contains(got, part) || !contains && got != value && (value != "*" || got == "") {
		a.w.t.Errorf("%s is %q; want %q\n%s", name, got, value, m.raw)
	}
}

// describes checks a message's session description against the parts that are given.
func (a *actor) describes(m received, want string) {
	a.w.t.Helper()
	d := described(a.w.t, m)
	_, media, _ := strings.Cut(string(m.Body()), "m=audio ")
	media, _, _ = strings.Cut(media, "\r\n")
	port, got, _ := strings.Cut(media, " RTP/AVP ")
	var formats []string
	for word := range strings.FieldsSeq(want) {
		switch {
		case word[0] == ':' && word[1:] != port, strings.HasPrefix(word, "send") && d.Direction() != sdp.Direction(word),
			(word == "recvonly" || word == "inactive") && d.Direction() != sdp.Direction(word):
			a.w.t.Errorf("the session is %s at %s; want %s\n%s", d.Direction(), port, want, m.raw)
		case word[0] >= '0' && word[0] <= '9':
			formats = append(formats, word)
		}
	}
	w := strings.Join(formats, " ")
	speaks := map[string]string{"0": "PCMU", "8": "PCMA", "9": "G722"}[strings.Fields(got)[0]]
	if d.HasOpus() && (got[:2] == "11" || got[:2] == "96") {
		speaks = "OPUS"
	}
	if w != "" && got != w || d.Connection() != ourAddr.Addr().String() || d.Streams() != 1 || speaks != d.Speaks().Name {
		a.w.t.Errorf("the session has %q of %s; want %q\n%s", got, d.Connection(), w, m.raw)
	}
}

func (a *actor) says(st step) {
	a.w.t.Helper()
	words, headers, body := st.words[1:], st.headers, a.described(st)
	a.said = time.Now()
	code, err := strconv.Atoi(words[0])
	if err != nil {
		a.asks(words[0], body, st)
		synctest.Wait()
		return
	}
	to, tag := a.last, a.tag
	for i, word := range words[1:] {
		switch {
		case word == "to":
			switch to = a.got[words[i+2]]; words[i+2] {
			case "call":
				to = a.invite
			case "older":
				to = a.older
			}
		case word != "bare" && words[i] != "to":
			tag = word
		}
	}
	if to.req().IsInvite() {
		a.refused = to
		if code < 300 {
			a.refused.Message = nil
		}
	}
	if strings.Contains(strings.Join(headers, "\n"), "Contact: ") {
		a.p.send(hostileAnswer(to, code, tag, body, headers...))
		synctest.Wait()
		return
	}
	a.p.reply(to, code, "Said So", tag, body, headers...)
	synctest.Wait()
}

// asks makes the actor send a request within the dialog.
func (a *actor) asks(method, body string, st step) {
	headers := st.headers
	if method == "PRACK" {
		headers = append(headers, fmt.Sprintf("RAck: %s %d INVITE", a.early.value("RSeq"), a.d.seq))
	}
	if a.d != nil {
		if st.body == "" {
			headers = append(sdpHeader(body), headers...)
		}
		a.asked = a.p.within(a.d, method, body, headers...)
	} else {
		a.seq++
		a.asked = a.seq
		a.p.agentSends(method, a.invite, a.tag, a.seq, body, headers...)
	}
	a.sent = a.p.sent
}

// acks acknowledges the final answer to an INVITE. It does nothing if the answer is to an UPDATE.
func (a *actor) acks(answer received, body string) {
	a.said = time.Now()
	number, method, _ := strings.Cut(answer.value("CSeq"), " ")
	seq, _ := strconv.Atoi(number)
	switch first := a.d != nil && seq == a.d.seq; {
	case method != "INVITE":
	case answer.raw[8] != '2' && first:
		a.p.ackRefused(a.d)
	case answer.raw[8] != '2':
		(&end{p: a.p}).ackRefusal(answer)
	case first && body == "":
		a.p.ack(a.d)
	case a.d != nil:
		a.p.ackOf(a.d, seq, body)
	default:
		a.p.agentSends("ACK", a.invite, a.tag, seq, body)
	}
	synctest.Wait()
}

// cancels cancels the actor's INVITE or re-INVITE.
func (a *actor) cancels(headers []string) {
	c := a.w.talkOf(a.actors["carrier"].d, a.actors["agent"].invite)
	switch {
	case a.d == nil:
		c.agent.cancels(a.asked)
	case a.asked > 0:
		c.carrier.cancels(a.asked)
	default:
		a.d.extra = strings.Join(append(headers, ""), "\n")
		a.p.cancel(a.d)
		a.d.extra = ""
	}
}

// givesUp cancels the INVITE, and checks that all answers have the same To tag (RFC 3261 section 9.2).
func (a *actor) givesUp() {
	a.w.t.Helper()
	time.Sleep(100 * time.Millisecond)
	for _, m := range a.p.rest() { // provisional answers
		a.learn(m)
	}
	tag := a.d.toTag
	a.cancels(nil)
	for _, m := range []received{a.p.expect("SIP/2.0 200"), a.p.expect("SIP/2.0 487")} {
		if got := message.TagOf(m.res().To().Params); tag != "" && got != tag {
			a.w.t.Errorf("%s has To tag %s; want %s", m.value("CSeq"), got, tag)
		}
		a.learn(m)
	}
	a.acks(a.answers[len(a.answers)-1], "")
}

func (a *actor) hears(want string) {
	a.w.t.Helper()
	p := (&end{p: a.p, side: a.side}).peer()
	got := fmt.Sprint(":", p.RTP.Port())
	if p.RTP.Addr() != a.at.Addr() {
		got = p.RTP.String()
	}
	if p.Held {
		got += " held"
	}
	if want == "" {
		want = fmt.Sprint(":", a.port)
	}
	if n := len(a.w.relay.sessions); got != want || n != max(a.story.calls, 1) {
		a.w.t.Errorf("the media is told %s of it in %d sessions; want %s in %d", got, n, want, a.story.calls)
	}
}
