package registration

import (
	"testing"

	"github.com/emiago/sipgo/sip"
)

// leaves ends the registration while a REGISTER has no answer yet. Nothing may be sent before that answer (RFC 3261
// section 10.2).
func (b *bench) leaves() {
	b.Helper()
	if b.do(Leave{}); len(b.effects) != 0 {
		b.Errorf("while a REGISTER is under way, it does %v", b.effects)
	}
}

func TestLeave(t *testing.T) {
	removal := func(b *bench) {
		b.Helper()
		req := b.sent(sip.REGISTER)
		if req.GetHeader("Expires").Value() != "0" {
			b.Errorf("it leaves by\n%s", req)
		}
		b.answer(req, "200 OK")
	}
	for name, end := range map[string]func(b *bench){
		"before it has begun": func(b *bench) { b.do(Leave{}) },
		"while it registers": func(b *bench) {
			b.reach("one.test", 0)
			req := b.sent(sip.REGISTER)
			b.leaves()
			b.answer(req, "200 OK")
			removal(b)
		},
		"while it is challenged": func(b *bench) {
			b.reach("one.test", 0)
			req := b.sent(sip.REGISTER)
			b.leaves()
			b.answer(req, "401 Unauthorized", challenge)
			removal(b)
		},
		"while it is refused": func(b *bench) {
			b.reach("one.test", 0)
			req := b.sent(sip.REGISTER)
			b.leaves()
			b.answer(req, "503 Service Unavailable")
		},
		"while it is renewed, and refused": func(b *bench) {
			b.reach("one.test", 0)
			b.answer(b.sent(sip.REGISTER), "200 OK")
			b.now = b.m.Status().Next
			b.do(DeadlineReached{})
			req := b.sent(sip.REGISTER)
			b.leaves()
			b.answer(req, "503 Service Unavailable")
			removal(b)
		},
		"while nobody answers": func(b *bench) {
			b.reach("one.test", 0)
			b.leaves()
			b.due()
			removal(b)
		},
		"registered": func(b *bench) {
			b.reach("one.test", 0)
			b.answer(b.sent(sip.REGISTER), "200 OK")
			b.do(Leave{})
			removal(b)
		},
		"nobody answers": func(b *bench) {
			b.reach("one.test", 0)
			b.answer(b.sent(sip.REGISTER), "200 OK")
			b.do(Leave{})
			b.due()
		},
		"with another challenge": func(b *bench) {
			b.reach("one.test", 0)
			b.answer(b.sent(sip.REGISTER), "200 OK")
			b.do(Leave{})
			b.answer(b.sent(sip.REGISTER), "401 Unauthorized", challenge)
			removal(b)
		},
		"after a failure": func(b *bench) {
			b.do(Unreached{Err: errDead})
			b.do(Unreached{Err: errDead})
			b.do(Leave{})
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, func(*Options) {})
			end(b)
			if s := b.m.Status(); s.State != Left || !b.m.Deadline().IsZero() {
				t.Errorf("it is %+v, with a deadline at %v", s, b.m.Deadline())
			}
			for _, in := range []Input{Begin{}, Broken{}, DeadlineReached{}, Unreached{Err: errDead}, Reached{}, Leave{}} {
				if b.do(in); len(b.effects) != 0 {
					t.Errorf("after its end, %T has %v done", in, b.effects)
				}
			}
		})
	}
}
