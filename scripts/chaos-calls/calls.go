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

// kind is how a call is meant to go. It is a digit of the called number, so that the targets know, too.
type kind uint8

const (
	held      kind = iota // until the end, with RTP
	byCaller              // the caller hangs up
	byAgent               // the agent does
	cancelled             // the caller gives up while it rings
	busy                  // 486
	unheeded              // the agent never answers
	elsewhere             // the first target refuses, the second one takes it
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

// numberFor is a number that only one call has.
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

// hold is how long a call lasts: the same for the same number.
func hold(number string) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(number))
	return time.Second + time.Duration(h.Sum32()%uint32((callHold-time.Second).Milliseconds()))*time.Millisecond
}

// place dials a call as the carrier does, with the lock held.
func (e *end) place(k kind, serial int) {
	l := e.dial(numberFor(k, serial), k)
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
	invite := l.ask("INVITE", more, func(m sip.Message) {
		switch status := m.Status(); {
		case m == "":
			l.finish(unheard)
		case status >= 300:
			l.finish(refused)
		default:
			l.answered = true
			l.listen(m)
			l.refreshed(m.Header("Session-Expires"), true)
			if given {
				l.bye("")
			} else {
				l.live()
			}
		}
	})
	if k == cancelled {
		e.after(time.Second+hold(l.number)/8, func() {
			given = true
			l.cancel(invite)
		})
	}
}

// sound gives a leg its side of the RTP, if its call has any.
func (l *leg) sound(side int) {
	if e := l.end; l.kind == held && (e.heard == 0 || serialOf(l.number) <= uint32(e.heard)) {
		l.stream = e.audio.stream(serialOf(l.number), side)
	}
}

// live does what is planned for an answered call, on either side.
func (l *leg) live() {
	h := hold(l.number)
	if l.kind != held && l.caller != (l.kind == byAgent) {
		l.end.after(h, func() { l.bye("") })
	}
	if serialOf(l.number)%4 == 0 && l.caller && l.end.set != nil {
		l.end.after(h/2, func() { go l.numbered() })
	}
	switch {
	case l.kind == changed && l.caller == (serialOf(l.number)%2 == 0):
		l.end.after(h/2, func() { l.change("INVITE", l.contact()+sip.WithBody(l.description())) })
	case l.kind == keyed && l.caller:
		for _, key := range []string{"1", "#"} {
			body := "Signal=" + key + "\r\nDuration=160\r\n"
			l.end.after(h/4+time.Duration(len(key)), func() {
				l.change("INFO", fmt.Sprintf("Content-Type: application/dtmf-relay\r\nContent-Length: %d\r\n\r\n%s",
					len(body), body))
			})
		}
	}
}

// numbered sets a variable of the call by the API.
func (l *leg) numbered() {
	set := l.end.set(l.callID, l.number)
	l.end.mu.Lock()
	defer l.end.mu.Unlock()
	l.set = set
}

// taker is what a target does with a call; second says whether it is the one behind the first.
func taker(second bool) func(*leg) {
	return func(l *leg) {
		s := l.invite
		l.sound(1)
		switch {
		case l.kind == busy:
			l.refuse(s, "486 Busy Here")
			return
		case l.kind == elsewhere && !second:
			l.refuse(s, "503 Service Unavailable")
			return
		}
		l.respond(s, "180 Ringing", l.contact()+sip.WithBody(""))
		if l.kind == cancelled || l.kind == unheeded {
			return
		}
		l.end.after(100*time.Millisecond+hold(l.number)/20, func() {
			if s.final {
				return
			}
			timer := ""
			if v := s.request.Header("Session-Expires"); v != "" {
				if !strings.Contains(v, "refresher") {
					v += ";refresher=uac"
				}
				timer = "Require: timer\r\nSession-Expires: " + v + "\r\n"
			}
			l.listen(s.request)
			l.refreshed(s.request.Header("Session-Expires"), false)
			l.answer(s, timer)
			l.live()
		})
	}
}

// legsOf gives all legs of some ends, with the lock of their end held.
func legsOf(ends ...*end) iter.Seq[*leg] {
	return func(yield func(*leg) bool) {
		more := true
		for _, e := range ends {
			e.mu.Lock()
			for i := 0; more && i < len(e.all); i++ {
				more = yield(e.all[i])
			}
			e.mu.Unlock()
		}
	}
}

// count counts the legs that fit.
func (e *end) count(fits func(*leg) bool) (n int) {
	for l := range legsOf(e) {
		if fits(l) {
			n++
		}
	}
	return n
}

// hangUp ends the calls that fit and are up.
func (e *end) hangUp(fits func(*leg) bool) { e.eachUp(fits, func(l *leg) { l.bye("") }) }

// eachUp calls do for the calls that fit and are up, a tenth of a second for each twenty.
func (e *end) eachUp(fits func(*leg) bool, do func(*leg)) {
	e.mu.Lock()
	all := slices.Clone(e.all)
	e.mu.Unlock()
	n := 0
	for _, l := range all {
		e.mu.Lock()
		if fits(l) && l.established() {
			do(l)
			n++
		}
		e.mu.Unlock()
		if n%20 == 19 {
			time.Sleep(100 * time.Millisecond)
			n++
		}
	}
}
