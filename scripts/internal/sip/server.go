package sip

import (
	"net/netip"
	"strings"
	"time"
)

// Server is a server transaction.
type Server struct {
	Request  Message // empty once the ACK has come
	Method   string
	Final    bool
	d        *Dialog
	branch   string
	cseq     int
	from     netip.AddrPort
	response string // the last response
	acked    bool   // used for an INVITE
}

func (d *Dialog) serve(m Message, method string, from netip.AddrPort) *Server {
	s := &Server{
		Request: m, Method: strings.Clone(method), d: d, branch: strings.Clone(m.Branch()), cseq: m.Number(), from: from,
	}
	d.servers = append(d.servers, s)
	return s
}

func (d *Dialog) served(branch, method string) *Server {
	for _, s := range d.servers {
		if s.branch == branch && s.Method == method {
			return s
		}
	}
	return nil
}

// request handles a request to an existing dialog.
func (d *Dialog) request(m Message, method string, from netip.AddrPort) {
	if method == "ACK" {
		d.confirmed(m.Number())
		return
	}
	branch := m.Branch()
	if s := d.served(branch, method); s != nil { // a repeat
		if d.End.Repeats++; s.response != "" {
			d.send(s.response, s.from)
		}
		return
	}
	s := d.serve(m, method, from)
	switch {
	case method == "CANCEL":
		d.cancelled(s, d.served(branch, "INVITE"))
	case !d.Answered || d.over || m.Tag("To") != d.tag:
		s.Respond(noDialog, Empty)
	case s.cseq <= d.theirs: // RFC 3261 12.2.2
		s.Respond("500 Out Of Order", Empty)
	default:
		d.theirs = s.cseq
		d.within(s)
	}
}

// confirmed handles an ACK.
func (d *Dialog) confirmed(cseq int) {
	for _, s := range d.servers {
		if s.Method == "INVITE" && s.cseq == cseq && !s.acked {
			s.acked = true
			s.Request, s.response = "", ""
			if d.Answered && d.End.Acked != nil {
				d.End.Acked(d)
			}
		}
	}
}

// within handles an in-order request within the dialog.
func (d *Dialog) within(s *Server) {
	switch {
	case s.Method == "BYE":
		s.Respond("200 OK", Empty)
		d.Finish()
		d.ended(s.Method)
	case d.End.Asked != nil:
		if at := s.Request.Contact(); s.Method == "INVITE" && at != "" {
			d.target = strings.Clone(at)
		}
		d.End.Asked(d, s)
	case s.Method == "INVITE":
		s.Respond("488 Not Acceptable Here", Empty)
	default:
		s.Respond("200 OK", Empty)
	}
}

func (d *Dialog) cancelled(s, invite *Server) {
	if invite == nil {
		s.Respond(noDialog, Empty)
		return
	}
	s.Respond("200 OK", Empty)
	if !invite.Final {
		invite.Refuse("487 Request Terminated")
		d.ended(s.Method)
	}
}

func (d *Dialog) ended(by string) {
	if d.End.Ended != nil {
		d.End.Ended(d, by)
	}
}

// Respond answers the request. more is headers and the body.
func (s *Server) Respond(status, more string) {
	s.response = s.Request.Answer(status, s.d.tag, more)
	s.Final = status[0] != '1'
	if s.Final && s.Method != "INVITE" {
		s.Request = ""
	}
	s.d.send(s.response, s.from)
}

// Accept sends the 200 of an INVITE until its ACK comes (RFC 3261 13.3.1.4).
func (s *Server) Accept(more string) {
	s.d.Answered = true
	s.Respond("200 OK", more)
	s.again(s.d.over, T1, 0)
}

// Refuse rejects the INVITE of a call, and repeats the answer until the ACK (timers G and H).
func (s *Server) Refuse(status string) {
	s.Respond(status, Empty)
	s.d.Finish()
	s.again(true, T1, 0)
}

// again repeats a final answer to an INVITE until its ACK, or until the call is over.
func (s *Server) again(over bool, wait, so time.Duration) {
	d := s.d
	d.End.After(wait, func() {
		if s.acked || d.over != over || d.gone {
			return
		}
		so += wait
		if so >= Patience {
			d.ended("ACK")
			return
		}
		if !over {
			d.End.Repeats200++
		}
		d.send(s.response, s.from)
		s.again(over, min(2*wait, T2), so)
	})
}
