package calltest

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A flood of INVITEs from forged addresses does not use up the challenges for an address that has recently
// authenticated. A flood from one network does not use up the challenges for other networks.
func TestFloodSparesTheProven(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		d := p.newCall("+15075785607")
		w.answersCall(p, d, authorize(d, p.challenged(d), "MD5", "acme", "secret", 1))
		time.Sleep(12 * time.Hour)
		answers := 0
		for i := range 300 {
			other := w.otherAt("203." + itoa(i/250) + "." + itoa(i%250) + ".7:5060")
			d := other.newCall("+15075785607")
			d.callID = "forged" + itoa(i)
			other.invite(d)
			synctest.Wait()
			answers += len(other.rest())
		}
		if answers != 200 {
			t.Errorf("%d answers to forged addresses; want 200", answers)
		}
		if r := w.server.Rejected(); r.Challenged.Load() != 1+200 || r.StrangerRate.Load() != 100 {
			t.Errorf("%d challenged, %d over the rate of strangers; want 201 and 100", r.Challenged.Load(), r.StrangerRate.Load())
		}
		d = p.newCall("+15075785607")
		w.answersCall(p, d, authorize(d, p.challenged(d), "MD5", "acme", "secret", 1))
		time.Sleep(time.Minute)

		near, same := w.otherAt("203.0.114.5:5060"), w.otherAt("203.0.114.6:5060")
		for i := range 100 {
			d := near.newCall("+15075785607")
			d.callID = "near" + itoa(i)
			near.invite(d)
		}
		synctest.Wait()
		if n := len(near.rest()); n != 20 {
			t.Errorf("%d answers to one network; want 20", n)
		}
		same.invite(same.newCall("+15075785607"))
		same.silent(100 * time.Millisecond / 3)
		far := w.otherAt("203.0.115.5:5060")
		d = far.newCall("+15075785607")
		d.callID = "far"
		far.challenged(d)
	})
}

// If the configuration lets phones register, even a REGISTER that is shorter than any challenge is answered. The answer
// has at most 200 bytes more, and the rate for strangers limits such answers.
func TestShortRegisterIsAnswered(t *testing.T) {
	biloxi := "REGISTER sip:ss2.biloxi.example.com SIP/2.0\nVia: SIP/2.0/UDP client.biloxi.example.com:5061;branch=z9hG4bKnashds7\n" +
		"Max-Forwards: 70\nFrom: Bob <sip:bob@biloxi.example.com>;tag=a73kszlfl\nTo: Bob <sip:bob@biloxi.example.com>\n" +
		"Call-ID: 1j9FpLxk3uxtm8tn@biloxi.example.com\nCSeq: 1 REGISTER\nContact: <sip:bob@client.biloxi.example.com>\nContent-Length: 0\n\n"
	shortest := "REGISTER sip:h SIP/2.0\nv:SIP/2.0/UDP h;rport;branch=z9hG4bKa\nf:<sip:a@b>;tag=1\nt:<sip:a@b>\ni:1\nCSeq:1 REGISTER\nm:<sip:a@h>\n\n"
	for name, text := range map[string]string{"RFC 3665 section 2.1": biloxi, "the shortest": shortest} {
		runIn(t, name, phoneConfig, func(w *world) {
			p := w.otherAt("203.0.113.66:6060")
			answers := 0
			for range 30 {
				p.send(text)
				synctest.Wait()
				for _, m := range p.rest() {
					answers++
					sent := len(strings.ReplaceAll(text, "\n", "\r\n"))
					if !strings.HasPrefix(m.raw, "SIP/2.0 401 ") || len(m.raw) > sent+200 {
						w.t.Errorf("%d bytes for %d:\n%s", len(m.raw), sent, m.raw)
					}
				}
			}
			if answers != 20 {
				w.t.Errorf("%d answers in a second; want 20", answers)
			}
			p.send(strings.ReplaceAll(text, "REGISTER", "OPTIONS")) // among short requests, only a REGISTER must be answered
			p.silent(time.Minute)
		})
	}
}

// A short request from an address gets an answer after that address has authenticated, because it can't be forged then.
func TestShortRequestOfTheProven(t *testing.T) {
	inWorldWith(t, authConfig, func(w *world) {
		p := w.roaming()
		short := "OPTIONS sip:h SIP/2.0\nVia: SIP/2.0/UDP h;rport;branch=z9hG4bKshort\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>\nCall-ID: 1\nCSeq: 1 OPTIONS\n\n"
		p.send(short)
		p.silent(time.Second)
		if r := w.server.Rejected(); r.Challenged.Load() != 0 || r.TooShort.Load() != 1 {
			t.Errorf("%d challenged, %d too short; want 0 and 1", r.Challenged.Load(), r.TooShort.Load())
		}
		d := p.newCall("+15075785607")
		w.answersCall(p, d, authorize(d, p.challenged(d), "MD5", "acme", "secret", 1))
		p.send(short)
		p.expect("SIP/2.0 401")
		time.Sleep(25 * time.Hour)
		p.rest()
		p.send(short)
		p.silent(time.Second)
	})
}
