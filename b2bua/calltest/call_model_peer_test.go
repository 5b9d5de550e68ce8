package calltest

import (
	"fmt"
	"net/netip"
	"strings"

	"flowbridge/b2bua/message"
)

// modelPeer is a SIP endpoint of the call model. It remembers enough of its dialogs to send
// well-formed messages. Its habits control its automatic reactions; everything else is
// drawn at random.
type modelPeer struct {
	*peer
	m       *callModel
	name    string
	addr    netip.AddrPort
	habits  habits
	dialogs []*modelDialog
	asks    []*modelAsk
	sent    []string // every datagram
	counter int
}

// habits switches off automatic reactions of a peer.
type habits struct {
	NoACK, NoPRACK, NoAnswer, NoReACK, Silent bool // Silent: the peer answers no request, not even CANCEL and BYE
}

// modelDialog is a peer's side of one dialog, early ones included.
type modelDialog struct {
	p                     *modelPeer
	callID, local, remote string // From and To values; remote has no tag at first
	target                string
	seq                   int
	invites               []*modelInvite // INVITEs that the peer has sent
	asked                 *modelAsk      // our INVITE that began the dialog, or nil
	kind                  string         // kind of the current session description
	version, port, rseq   int
	expires               string
}

// modelInvite is an INVITE that a peer has sent.
type modelInvite struct {
	seq         int
	branch, raw string
	sdp         bool
	code        int
	oks         []wireMsg // 2xx answers that wait for an ACK
	reliable    []wireMsg // reliable answers that wait for a PRACK
	rseqs       map[string]bool
	ack         string
}

// modelAsk is a request that a peer received.
type modelAsk struct {
	msg    wireMsg
	code   int    // status of the last answer
	last   string // text of the last answer
	d      *modelDialog
	forks  map[int]*modelDialog // dialogs by fork, if it is an INVITE that begins a dialog
	inside bool
}

func (p *modelPeer) host() string { return p.addr.Addr().String() }

func (p *modelPeer) mint(what string) string {
	p.counter++
	return fmt.Sprintf("%s%s%d", p.name, what, p.counter)
}

func (p *modelPeer) say(raw string) {
	p.sent = append(p.sent, strings.ReplaceAll(strings.ReplaceAll(raw, "\r\n", "\n"), "\n", "\r\n"))
	p.send(raw)
}

// request sends a request of a dialog. An empty branch means a new one.
func (d *modelDialog) request(method string, seq int, branch, sdp string, headers ...string) (string, string) {
	p := d.p
	if branch == "" {
		branch = "z9hG4bK" + p.mint("b")
	}
	if sdp != "" && !strings.Contains(strings.Join(headers, "\n"), "Content-Type:") {
		headers = append(headers, "Content-Type: application/sdp")
	}
	extra := ""
	for _, h := range headers {
		extra += h + "\n"
	}
	sdp = strings.ReplaceAll(sdp, "\r\n", "\n")
	raw := fmt.Sprintf("%s %s SIP/2.0\nVia: SIP/2.0/UDP %s;branch=%s;rport\nMax-Forwards: 70\nFrom: %s\nTo: %s\nCall-ID: %s\nCSeq: %d %s\n"+
		"Contact: <sip:%s@%s>\n%sContent-Length: %d\n\n%s",
		method, d.target, p.addr, branch, d.local, d.remote, d.callID, seq, method, p.name, p.addr, extra,
		len(strings.ReplaceAll(sdp, "\n", "\r\n")), sdp)
	p.say(raw)
	return branch, raw
}

// describe returns a new session description of this kind (see sdpKinds).
func (d *modelDialog) describe(kind string) string {
	if kind == "" {
		return ""
	}
	if kind != d.kind {
		d.version++
	}
	d.kind = kind
	return modelSDP(d.p.host(), d.port, d.version, kind)
}

// invite sends an INVITE: one that begins the dialog, or a re-INVITE.
func (d *modelDialog) invite(kind string, headers ...string) {
	d.seq++
	sdp := d.describe(kind)
	headers = append(headers, "Allow: INVITE, ACK, CANCEL, BYE, UPDATE, PRACK, INFO")
	branch, raw := d.request("INVITE", d.seq, "", sdp, headers...)
	d.invites = append(d.invites, &modelInvite{seq: d.seq, branch: branch, raw: raw, sdp: sdp != "", rseqs: map[string]bool{}})
}

// newCall makes a peer send the INVITE of a new call.
func (p *modelPeer) newCall(to, kind string, headers ...string) {
	port := 20000 + 1000*len(p.dialogs)
	d := &modelDialog{
		p: p, callID: p.mint("call"), local: fmt.Sprintf(`"Ann" <sip:+15075550100@%s>;tag=%s`, p.host(), p.mint("tag")),
		remote: fmt.Sprintf("<sip:%s@198.51.100.1>", to), target: fmt.Sprintf("sip:%s@198.51.100.1:5060", to), port: port,
	}
	p.dialogs = append(p.dialogs, d)
	d.invite(kind, headers...)
}

// receive handles one message.
func (p *modelPeer) receive(m wireMsg) {
	if m.code > 0 {
		p.onResponse(m)
		return
	}
	if m.method == "ACK" {
		return
	}
	for _, a := range p.asks {
		if a.msg.branch == m.branch && a.msg.method == m.method {
			if a.last != "" && !p.habits.Silent && !p.habits.NoReACK {
				p.say(a.last)
			}
			return
		}
	}
	a := &modelAsk{msg: m, forks: map[int]*modelDialog{}, inside: m.toTag != ""}
	p.asks = append(p.asks, a)
	for _, d := range p.dialogs {
		if d.callID == m.callID && paramIn(d.local, "tag") == m.toTag && a.inside {
			a.d = d
		}
	}
	if p.habits.Silent {
		return
	}
	switch {
	case m.method == "CANCEL":
		p.respond(a, 200, 0, "")
		for _, o := range p.asks {
			if o.msg.branch == m.branch && o.msg.method == "INVITE" && o.code < 200 {
				p.respond(o, 487, 0, "")
			}
		}
	case m.method == "BYE":
		p.respond(a, 200, 0, "")
	case a.inside && !p.habits.NoAnswer:
		if code := p.m.nextReply(); code != 200 {
			p.respond(a, code, 0, "", answerHeaders(code, p.counter)...)
			return
		}
		p.respond(a, 200, 0, answerKind(a))
	}
}

// modelReplies are the statuses that a peer may give to requests within a dialog.
var modelReplies = []int{200, 491, 488, 500, 401, 422, 405, 100, 481, 408, 501, 420, 503}

// nextReply returns the status for the next request within a dialog.
func (m *callModel) nextReply() int {
	if len(m.replies) == 0 {
		return 200
	}
	n := m.replies[0]
	m.replies = m.replies[1:]
	if n >= len(modelReplies) {
		return 200
	}
	return modelReplies[n]
}

// answerHeaders returns the headers that an answer with this status must have. n chooses
// among variants.
func answerHeaders(code, n int) []string {
	switch code {
	case 401:
		return []string{fmt.Sprintf(`WWW-Authenticate: Digest realm="r", nonce="n%d", algorithm=MD5`, n%4)}
	case 422:
		return []string{"Min-SE: " + pick([]string{"1800", "200", "60"}, n)}
	case 500:
		return pick([][]string{nil, {"Retry-After: 2"}}, n)
	case 302:
		return []string{"Contact: <sip:elsewhere@192.0.2.99>"}
	}
	return nil
}

// answerKind returns the kind of session description with which a sensible peer answers.
func answerKind(a *modelAsk) string {
	switch {
	case a.msg.method == "INVITE" && a.msg.sdp == "", a.msg.sdp == "":
		if a.msg.method != "INVITE" {
			return ""
		}
	}
	if a.d != nil && a.d.kind != "" && a.d.kind != "broken" && a.d.kind != "g729" && a.d.kind != "declined" {
		return a.d.kind
	}
	return "plain"
}

// respond answers a request. fork says from which fork, and kind says which session
// description the answer has.
func (p *modelPeer) respond(a *modelAsk, code, fork int, kind string, headers ...string) {
	d := a.d
	to := a.msg.toVal
	if !a.inside && a.msg.method == "INVITE" && code > 100 {
		d = a.forks[fork]
		if d == nil {
			d = &modelDialog{
				p: p, callID: a.msg.callID, local: to + ";tag=" + p.mint("tag"), remote: a.msg.fromLine, asked: a,
				target: message.AddrSpec(a.msg.get("contact")), port: 30000 + 1000*len(p.dialogs), rseq: 10 * (fork + 1),
			}
			a.forks[fork] = d
			p.dialogs = append(p.dialogs, d)
		}
		to = d.local
	} else if !a.inside && code > 100 {
		to += ";tag=" + p.mint("tag")
	}
	if !a.inside && a.msg.method == "CANCEL" {
		to = a.msg.toVal + ";tag=" + p.name
	}
	var b strings.Builder
	fmt.Fprintf(&b, "SIP/2.0 %d %s\n", code, message.StatusText(code))
	for _, v := range a.msg.headers["via"] {
		fmt.Fprintf(&b, "Via: %s\n", v)
	}
	fmt.Fprintf(&b, "From: %s\nTo: %s\nCall-ID: %s\nCSeq: %d %s\n", a.msg.fromLine, to, a.msg.callID, a.msg.seq, a.msg.method)
	if code > 100 && code < 300 {
		fmt.Fprintf(&b, "Contact: <sip:%s@%s>\n", p.name, p.addr)
		if d != nil && d.expires != "" && code >= 200 && (a.msg.method == "INVITE" || a.msg.method == "UPDATE") {
			fmt.Fprintf(&b, "%s\n", d.expires)
		}
	}
	sdp := ""
	if d != nil && kind != "" {
		sdp = d.describe(kind)
		headers = append(headers, "Content-Type: application/sdp")
	}
	for _, h := range headers {
		if h == "RSeq" {
			d.rseq++
			h = fmt.Sprintf("Require: 100rel\nRSeq: %d", d.rseq)
		}
		b.WriteString(h + "\n")
	}
	fmt.Fprintf(&b, "Content-Length: %d\n\n%s", len(sdp), sdp)
	if a.code < 200 || code >= 200 {
		a.code, a.last = code, b.String()
	}
	p.say(b.String())
}

// inviteOf finds the INVITE that a response belongs to.
func (p *modelPeer) inviteOf(m wireMsg) (*modelDialog, *modelInvite) {
	for _, d := range p.dialogs {
		for _, i := range d.invites {
			if i.branch == m.branch && m.method == "INVITE" {
				return d, i
			}
		}
	}
	return nil, nil
}

func (p *modelPeer) onResponse(m wireMsg) {
	d, i := p.inviteOf(m)
	if i == nil {
		return
	}
	if m.code > 100 && m.code < 300 {
		if paramIn(d.remote, "tag") == "" {
			d.remote = m.toVal
		}
		if c := message.AddrSpec(m.get("contact")); c != "" {
			d.target = c
		}
	}
	switch {
	case m.code < 200:
		if i.code < 200 && m.has("require", "100rel") && !i.rseqs[m.get("rseq")] {
			i.rseqs[m.get("rseq")] = true
			i.reliable = append(i.reliable, m)
			if !p.habits.NoPRACK && !p.habits.Silent {
				d.prack(i, "")
			}
		}
		return
	case m.code < 300:
		i.oks = append(i.oks, m)
		if !p.habits.NoACK && !p.habits.Silent {
			d.ack(i, "plain")
		}
	default:
		i.oks = append(i.oks, m)
		if !p.habits.NoACK && !p.habits.Silent {
			d.ack(i, "plain")
		}
	}
	i.code = m.code
}

// ack sends the ACK for each final answer to an INVITE that still needs one. If an answer
// had an offer, its ACK has an SDP answer. It returns false if no answer needs an ACK.
func (d *modelDialog) ack(i *modelInvite, answer string) bool {
	if len(i.oks) == 0 {
		return false
	}
	m := i.oks[0]
	i.oks = i.oks[1:]
	switch {
	case m.code >= 300:
		remote := d.remote
		d.remote = m.toVal
		target := d.target
		d.target = strings.Fields(i.raw)[1]
		d.request("ACK", i.seq, i.branch, "")
		d.remote, d.target = remote, target
	case i.ack != "":
		d.p.say(i.ack)
	default:
		kind := ""
		if !i.sdp && m.sdp != "" {
			kind = answer
		}
		_, i.ack = d.request("ACK", i.seq, "", d.describe(kind))
	}
	return true
}

// prack acknowledges the oldest unacknowledged reliable answer. If that answer has an
// offer, the PRACK has an SDP answer; otherwise kind may add a new offer. It returns false
// if there is nothing to acknowledge.
func (d *modelDialog) prack(i *modelInvite, kind string) bool {
	if len(i.reliable) == 0 {
		return false
	}
	m := i.reliable[0]
	i.reliable = i.reliable[1:]
	if m.sdp != "" && !i.sdp && kind == "" {
		kind = "plain"
	}
	d.seq++
	d.request("PRACK", d.seq, "", d.describe(kind), fmt.Sprintf("RAck: %s %d INVITE", m.get("rseq"), m.seq))
	return true
}

// cancel sends a CANCEL for an INVITE. It copies the INVITE and changes the method.
func (d *modelDialog) cancel(i *modelInvite) {
	head, _, _ := strings.Cut(i.raw, "\n\n")
	var lines []string
	for k, l := range strings.Split(head, "\n") {
		name, _, _ := strings.Cut(l, ":")
		switch {
		case k == 0:
			l = "CANCEL " + strings.TrimPrefix(l, "INVITE ")
		case name == "CSeq":
			l = fmt.Sprintf("CSeq: %d CANCEL", i.seq)
		case name == "Content-Length":
			l = "Content-Length: 0"
		case name != "Via" && name != "Max-Forwards" && name != "From" && name != "To" && name != "Call-ID":
			continue
		}
		lines = append(lines, l)
	}
	d.p.say(strings.Join(lines, "\n") + "\n\n")
}
