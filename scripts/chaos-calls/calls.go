package main

import (
	"fmt"
	"hash/fnv"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/scripts/internal/sip"
)

// kind says how a call is meant to go. It is a digit of the called number, so that the targets know it,
// too.
type kind uint8

const (
	held      kind = iota // the call stays up until the end, with RTP
	byCaller              // the caller hangs up
	byAgent               // the agent hangs up
	cancelled             // the caller gives up while it rings
	busy                  // 486
	unheeded              // the agent never answers
	elsewhere             // the first target refuses, the second one answers
	changed               // a re-INVITE in mid-call
	keyed                 // digits by INFO
	timed                 // a session timer
	kinds
)

const (
	perSecond = 30
	callHold  = 8 * time.Second // at most
	prefix    = "+1507"
)

// numberFor returns a number that only one call has.
func numberFor(k kind, serial int) string { return fmt.Sprintf("%s%d%07d", prefix, k, serial) }

func kindOf(number string) kind {
	if !strings.HasPrefix(number, prefix) || len(number) != len(prefix)+8 {
		return byCaller
	}
	return min(kind(number[len(prefix)]-'0'), kinds-1)
}

func serialOf(number string) uint32 {
	n, _ := strconv.Atoi(number[len(prefix)+1:])
	return uint32(n)
}

// hold returns how long a call lasts. It is always the same for a number.
func hold(number string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(number))
	return time.Second + time.Duration(h.Sum32()%uint32((callHold-time.Second).Milliseconds()))*time.Millisecond
}

// place dials a call as the carrier does. The lock must be held.
func (e *end) place(k kind, serial int) {
	number := numberFor(k, serial)
	l := e.newLeg(e.Dial("+15075550100", number), number, true)
	more := ""
	switch {
	case k == held && serial%2 == 0:
		more = "Supported: timer\r\nSession-Expires: 90;refresher=uas\r\n"
	case k == held || k == timed:
		more = "Supported: timer\r\nSession-Expires: 90;refresher=uac\r\n"
	}
	l.sound(0)
	given := false
	more += allow + sip.WithBody(l.description())
	invite := l.dialog.Ask("INVITE", more, func(m sip.Message) {
		switch status := m.Status(); {
		case m == "":
			l.finish(unheard)
		case status >= 300:
			l.finish(refused)
		case given || l.fate != open: // the caller has given up
			l.answered, l.fate = true, open
			l.bye("")
		default:
			l.answered = true
			l.listen(m)
			l.refreshed(m.Header("Session-Expires"), true)
			l.live()
		}
	})
	if k == cancelled {
		e.Later(time.Second+hold(l.number)/8, func() {
			given = true
			invite.Cancel()
		})
	}
}

// sound gives a leg its side of the RTP, if its call has RTP.
func (l *leg) sound(side int) {
	if e := l.end; l.kind == held && (e.heard == 0 || serialOf(l.number) <= uint32(e.heard)) {
		l.stream = e.audio.stream(serialOf(l.number), side)
	}
}

// live does the planned actions of an answered call, on either side.
func (l *leg) live() {
	h := hold(l.number)
	if l.kind != held && l.caller != (l.kind == byAgent) {
		l.end.Later(h, func() { l.bye("") })
	}
	if serialOf(l.number)%4 == 0 && l.caller && l.end.set != nil {
		l.end.Later(h/2, func() { go l.numbered() })
	}
	switch {
	case l.kind == changed && l.caller == (serialOf(l.number)%2 == 0):
		l.end.Later(h/2, func() { l.change("INVITE", l.contact()+sip.WithBody(l.description())) })
	case l.kind == keyed && l.caller:
		for _, key := range []string{"1", "#"} {
			body := "Signal=" + key + "\r\nDuration=160\r\n"
			l.end.Later(h/4+time.Duration(len(key)), func() {
				l.change("INFO", fmt.Sprintf("Content-Type: application/dtmf-relay\r\nContent-Length: %d\r\n\r\n%s",
					len(body), body))
			})
		}
	}
}

// numbered sets a variable of the call through the API.
func (l *leg) numbered() {
	set := l.end.set(l.callID, l.number)
	l.end.Lock()
	defer l.end.Unlock()
	l.set = set
}

// taker returns the function that handles a call at a target. second is true for the second target.
func taker(second bool) func(*leg, *sip.Server) {
	return func(l *leg, s *sip.Server) {
		l.sound(1)
		switch {
		case l.kind == busy:
			l.refuse(s, "486 Busy Here")
			return
		case l.kind == elsewhere && !second:
			l.refuse(s, "503 Service Unavailable")
			return
		}
		s.Respond("180 Ringing", l.contact()+sip.Empty)
		if l.kind == cancelled || l.kind == unheeded {
			return
		}
		l.end.Later(100*time.Millisecond+hold(l.number)/20, func() {
			if s.Final {
				return
			}
			expires := s.Request.Header("Session-Expires")
			l.listen(s.Request)
			timer := l.timer(expires)
			if timer != "" && !strings.Contains(expires, "refresher") {
				timer = strings.TrimSuffix(timer, "\r\n") + ";refresher=uac\r\n"
			}
			l.answered = true
			s.Accept(timer + l.contact() + sip.WithBody(l.description()))
			l.live()
		})
	}
}

// refuse answers the INVITE with an error.
func (l *leg) refuse(s *sip.Server, status string) {
	l.finish(refused)
	s.Refuse(status)
}

// legsOf yields all legs of the ends, with the lock of their end held.
func legsOf(ends ...*end) iter.Seq[*leg] {
	return func(yield func(*leg) bool) {
		more := true
		for _, e := range ends {
			e.Lock()
			for i := 0; more && i < len(e.all); i++ {
				more = yield(e.all[i])
			}
			e.Unlock()
		}
	}
}

// count counts the matching legs.
func (e *end) count(fits func(*leg) bool) (n int) {
	for l := range legsOf(e) {
		if fits(l) {
			n++
		}
	}
	return n
}

// hangUp ends the matching calls that are up.
func (e *end) hangUp(fits func(*leg) bool) { e.eachUp(fits, func(l *leg) { l.bye("") }) }

// eachUp calls do for the matching calls that are up, at most twenty per tenth of a second.
func (e *end) eachUp(fits func(*leg) bool, do func(*leg)) {
	e.Lock()
	all := slices.Clone(e.all)
	e.Unlock()
	n := 0
	for _, l := range all {
		e.Lock()
		if fits(l) && l.established() {
			do(l)
			n++
		}
		e.Unlock()
		if n%20 == 19 {
			time.Sleep(100 * time.Millisecond)
			n++
		}
	}
}
