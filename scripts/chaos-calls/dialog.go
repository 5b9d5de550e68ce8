package main

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"flowbridge/scripts/internal/sip"
)

// server is a server transaction.
type server struct {
	request  sip.Message
	from     netip.AddrPort
	response string // the last one
	acked    bool   // of an INVITE
	final    bool
}

// serve begins a server transaction.
func (l *leg) serve(m sip.Message, from netip.AddrPort) *server {
	s := &server{request: m, from: from}
	l.servers[m.Branch()+m.Method()] = s
	return s
}

// requested takes a request to a leg that there is.
func (l *leg) requested(m sip.Message, from netip.AddrPort) {
	method := m.Method()
	if l.fate == forgotten || l.servers == nil {
		if method != "ACK" {
			l.send(from, m.Answer("481 Call/Transaction Does Not Exist", "forgotten", sip.WithBody("")))
		}
		return
	}
	if method == "ACK" {
		if l.invite != nil && l.invite.request.Number() == m.Number() {
			l.invite.acked = true
		}
		return
	}
	if s := l.servers[m.Branch()+method]; s != nil { // a repeat
		if s.response != "" {
			l.send(from, s.response)
		}
		return
	}
	s := l.serve(m, from)
	switch {
	case method == "CANCEL":
		l.cancelled(s)
	case !l.answered || l.fate != open || !strings.Contains(l.local, "tag="+m.Tag("To")):
		l.respond(s, "481 Call/Transaction Does Not Exist", sip.WithBody(""))
	case m.Number() <= l.theirs: // RFC 3261 12.2.2
		l.respond(s, "500 Out Of Order", sip.WithBody(""))
	default:
		l.theirs = m.Number()
		l.within(s, method)
	}
}

// within does what a request within the dialog asks for.
func (l *leg) within(s *server, method string) {
	m := s.request
	timer := ""
	if v := m.Header("Session-Expires"); v != "" {
		timer = "Require: timer\r\nSession-Expires: " + v + "\r\n"
	}
	switch method {
	case "BYE":
		l.respond(s, "200 OK", sip.WithBody(""))
		l.finish(told)
	case "INVITE":
		if l.asking {
			l.respond(s, "491 Request Pending", sip.WithBody(""))
			return
		}
		l.target = m.Contact()
		l.invite = s
		l.listen(m)
		l.refreshed(m.Header("Session-Expires"), false)
		l.answer(s, timer)
	case "UPDATE":
		l.listen(m)
		l.refreshed(m.Header("Session-Expires"), false)
		description := ""
		if m.Body() != "" {
			description = l.description()
		}
		l.respond(s, "200 OK", timer+l.contact()+sip.WithBody(description))
	default:
		l.respond(s, "200 OK", sip.WithBody(""))
	}
}

const allow = "Allow: INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE\r\n"

func (l *leg) contact() string {
	return fmt.Sprintf("Contact: <sip:%v>\r\n%sSupported: timer\r\n", l.end.addr, allow)
}

// description is ours of the session, a new one each time.
func (l *leg) description() string {
	l.version++
	return strings.Replace(sip.Description(l.end.media), "o=- 1 1 ", fmt.Sprintf("o=- 1 %d ", l.version), 1)
}

// listen takes where the other side wants its audio.
func (l *leg) listen(m sip.Message) {
	if at := sip.Media(m.Body()); at.Port() != 0 && l.stream != nil {
		l.stream.aim(at)
	}
}

func (l *leg) respond(s *server, status, more string) {
	_, tag, _ := strings.Cut(l.local, ";tag=")
	s.response = s.request.Answer(status, tag, more)
	s.final = status[0] != '1'
	l.rung = l.rung || strings.HasPrefix(status, "18")
	l.send(s.from, s.response)
}

// answer sends the 200 of an INVITE until its ACK comes (RFC 3261 13.3.1.4).
func (l *leg) answer(s *server, timer string) {
	l.answered = true
	l.respond(s, "200 OK", timer+l.contact()+sip.WithBody(l.description()))
	l.repeat(s, l.fate, t1, 0)
}

// refuse answers the INVITE, and repeats that until the ACK (timers G and H).
func (l *leg) refuse(s *server, status string) {
	l.respond(s, status, sip.WithBody(""))
	l.finish(refused)
	l.repeat(s, l.fate, t1, 0)
}

// repeat repeats a final answer to an INVITE until its ACK, or until the leg gets another fate.
func (l *leg) repeat(s *server, during fate, wait, so time.Duration) {
	l.end.after(wait, func() {
		if s.acked || l.fate != during {
			return
		}
		if so += wait; so >= patience {
			l.bye("no ACK")
			return
		}
		l.send(s.from, s.response)
		l.repeat(s, during, min(2*wait, t2), so)
	})
}

func (l *leg) cancelled(s *server) {
	invite := l.servers[s.request.Branch()+"INVITE"]
	if invite == nil {
		l.respond(s, "481 Call/Transaction Does Not Exist", sip.WithBody(""))
		return
	}
	l.respond(s, "200 OK", sip.WithBody(""))
	if !invite.final {
		l.refuse(invite, "487 Request Terminated")
	}
}

// bye ends the call. why is empty if that is how it was planned.
func (l *leg) bye(why string) {
	if !l.established() || l.wanted {
		return
	}
	l.wanted, l.why, l.parted = true, why, time.Since(l.end.begun)
	l.ask("BYE", sip.WithBody(""), func(m sip.Message) {
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

// change asks for something within the dialog: a method with its headers and body.
func (l *leg) change(method, more string) {
	if !l.established() || l.wanted || l.asking {
		return
	}
	l.asking = method == "INVITE"
	l.ask(method, more, func(m sip.Message) {
		l.asking = l.asking && method != "INVITE"
		switch status := m.Status(); {
		case m == "" || status == 408:
			l.bye(method + " not answered")
		case status == 481: // RFC 5057: the dialog is gone
			l.finish(gone)
		case status < 300:
			l.changed++
			l.listen(m)
			l.refreshed(m.Header("Session-Expires"), true)
		}
	})
}

// refreshed sets the session timer (RFC 4028). The value is that of a request and its answer; asked: the request was
// ours.
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
	wait, then := expires-min(expires/3, patience), func() { l.bye("session expired") }
	if ours {
		wait, then = expires/2, func() {
			l.change("UPDATE", "Supported: timer\r\nSession-Expires: "+text+";refresher=uac\r\n"+sip.WithBody(""))
		}
	}
	l.expiry = l.end.after(wait, then)
}

// forget loses a dialog as one does who dies and starts again.
func (l *leg) forget() {
	if l.established() && !l.wanted {
		l.finish(forgotten)
		l.clients, l.servers = map[string]*client{}, nil
	}
}
