package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/sip"
)

// end is a user agent of the carrier or of a target. Its legs are judged by the messages they got.
type end struct {
	sip.UDP
	media netip.AddrPort // where its RTP arrives
	begun time.Time
	audio *audio
	heard int                              // see world.heard
	set   func(callID, number string) bool // sets a variable of a call; may be nil
	all   []*leg
}

func newEnd(name string, in namespace.Namespace, at, peer netip.AddrPort) (e *end, err error) {
	e = &end{}
	err = e.Listen(name, in, at, peer)
	e.Saw = func(d *sip.Dialog, sent bool, m sip.Message) {
		if d.Of == nil { // an incoming call
			e.newLeg(d, numberIn(m), false)
		}
		legOf(d).note(sent, m)
	}
	e.Asked = func(d *sip.Dialog, s *sip.Server) { legOf(d).within(s) }
	e.Ended = func(d *sip.Dialog, by string) {
		switch l := legOf(d); by {
		case "BYE":
			l.finish(told)
		case "CANCEL":
			l.finish(refused)
		default:
			l.bye("no ACK")
		}
	}
	return e, err
}

// fate is how a leg ended.
type fate uint8

const (
	open      fate = iota // it has not ended
	refused               // never answered: a final answer other than 200, or a CANCEL
	unheard               // never answered: the INVITE got no answer
	hungUp                // our BYE was answered by 200
	gone                  // our request was answered by 481
	told                  // we got a BYE
	untold                // our BYE was never answered
	forgotten             // we died and lost all knowledge of the call
)

var fates = [...]string{"open", "refused", "unheard", "hung up", "481", "told by BYE", "BYE not answered", "forgotten"}

func (f fate) String() string { return fates[f] }

// moment is a message of a leg.
type moment struct {
	at   time.Duration
	sent bool
	what string
}

// leg is a call of an end.
type leg struct {
	side
	end     *end
	dialog  *sip.Dialog
	kind    kind
	version int  // of our session description
	asking  bool // a re-INVITE of ours is open
	changed int  // our requests to change the session that got a 200
	expiry  *time.Timer
	stream  *stream
	moments []moment
}

func legOf(d *sip.Dialog) *leg { return d.Of.(*leg) }

func (e *end) newLeg(d *sip.Dialog, number string, caller bool) *leg {
	l := &leg{
		side: side{name: e.Name, callID: d.CallID, number: number, caller: caller}, end: e, dialog: d, kind: kindOf(number),
	}
	d.Of = l
	e.all = append(e.all, l)
	return l
}

// numberIn returns the called number of an INVITE.
func numberIn(m sip.Message) string {
	number, _, _ := strings.Cut(strings.TrimPrefix(strings.Fields(m.Start())[1], "sip:"), "@")
	return strings.Clone(number)
}

func (l *leg) note(sent bool, m sip.Message) {
	what, _, _ := strings.Cut(m.Start(), " ")
	if status := m.Status(); status != 0 {
		what = fmt.Sprintf("%.30s (%s)", strings.TrimPrefix(m.Start(), "SIP/2.0 "), m.Header("CSeq"))
		l.rung = l.rung || status > 100 && status < 200 && m.Method() == "INVITE"
	} else {
		what += " " + strconv.Itoa(m.Number())
	}
	if reason := m.Header("Reason"); reason != "" {
		what += " " + reason
	}
	l.moments = append(l.moments, moment{time.Since(l.end.begun), sent, what})
}

// established reports whether the leg has a live dialog.
func (l *leg) established() bool { return l.answered && l.fate == open }

// finish records how the leg ended.
func (l *leg) finish(f fate) {
	if l.fate != open {
		return
	}
	l.fate, l.over = f, time.Since(l.end.begun)
	if l.expiry != nil {
		l.expiry.Stop()
	}
	if l.stream != nil {
		l.stream.stop()
	}
	l.dialog.Finish()
}

// within handles a request within the dialog.
func (l *leg) within(s *sip.Server) {
	m, body := s.Request, ""
	switch s.Method {
	case "INVITE":
		if l.asking {
			s.Respond("491 Request Pending", sip.Empty)
			return
		}
	case "UPDATE":
	default:
		s.Respond("200 OK", sip.Empty)
		return
	}
	l.listen(m)
	timer := l.timer(m.Header("Session-Expires"))
	if s.Method == "INVITE" || m.Body() != "" {
		body = l.description()
	}
	answer := timer + l.contact() + sip.WithBody(body)
	if s.Method == "INVITE" {
		s.Accept(answer)
	} else {
		s.Respond("200 OK", answer)
	}
}

// timer sets the session timer that a request asks for, and returns its header for the answer.
func (l *leg) timer(value string) string {
	l.refreshed(value, false)
	if value == "" {
		return ""
	}
	return "Require: timer\r\nSession-Expires: " + value + "\r\n"
}

const allow = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE\r\n"

func (l *leg) contact() string {
	return fmt.Sprintf("Contact: <sip:%v>\r\n%sSupported: timer\r\n", l.end.Addr, allow)
}

// description returns our session description, with a new version each time.
func (l *leg) description() string {
	l.version++
	return strings.Replace(sip.Description(l.end.media), "o=- 1 1 ", fmt.Sprintf("o=- 1 %d ", l.version), 1)
}

// listen reads where the other side wants its audio.
func (l *leg) listen(m sip.Message) {
	if at := sip.Media(m.Body()); at.Port() != 0 && l.stream != nil {
		l.stream.aim(at)
	}
}

// bye ends the call. why is empty if this was planned.
func (l *leg) bye(why string) {
	if !l.established() || l.wanted {
		return
	}
	l.wanted, l.why, l.parted = true, why, time.Since(l.end.begun)
	l.dialog.Ask("BYE", sip.Empty, func(m sip.Message) {
		switch status := m.Status(); {
		case status == 481 || status == 408:
			l.finish(gone)
		case m == "":
			l.finish(untold)
		default:
			l.finish(hungUp)
		}
	})
}

// change sends a request within the dialog: a method with its headers and body.
func (l *leg) change(method, more string) {
	if !l.established() || l.wanted || l.asking {
		return
	}
	l.asking = method == "INVITE"
	l.dialog.Ask(method, more, func(m sip.Message) {
		l.asking = l.asking && method != "INVITE"
		switch status := m.Status(); {
		case m == "" || status == 408:
			l.bye(method + " not answered")
		case status == 481: // RFC 5057: the dialog no longer exists
			l.finish(gone)
		case status < 300:
			l.changed++
			l.listen(m)
			l.refreshed(m.Header("Session-Expires"), true)
		}
	})
}

// refreshed sets the session timer (RFC 4028). The value comes from a request and its answer; asked says that the
// request was ours.
func (l *leg) refreshed(value string, asked bool) {
	if value == "" {
		return
	}
	text, parameters, _ := strings.Cut(value, ";")
	seconds, _ := strconv.Atoi(strings.TrimSpace(text))
	expires := time.Duration(seconds) * time.Second
	ours := strings.Contains(parameters, "refresher=uas") != asked
	if l.expiry != nil {
		l.expiry.Stop()
	}
	wait, then := expires-min(expires/3, sip.Patience), func() { l.bye("session expired") }
	if ours {
		wait, then = expires/2, func() {
			l.change("UPDATE", "Supported: timer\r\nSession-Expires: "+text+";refresher=uac\r\n"+sip.Empty)
		}
	}
	l.expiry = l.end.Later(wait, then)
}

// forget drops a call, as an end does that dies and restarts.
func (l *leg) forget() {
	if l.established() && !l.wanted {
		l.finish(forgotten)
		l.dialog.Forget()
	}
}
