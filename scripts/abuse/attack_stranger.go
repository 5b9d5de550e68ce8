package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"flowbridge/scripts/internal/sip"
)

// padding makes a request so long that it may be answered.
var padding = "X-Padding: " + strings.Repeat("x", 400) + "\r\n"

// strangerForms are what strangers send: by name, with %b where a new branch stands.
func strangerForms(from netip.AddrPort) []struct{ name, text string } {
	head := func(method, more string) string {
		return fmt.Sprintf("%s sip:x SIP/2.0\r\nVia: SIP/2.0/UDP %v;branch=z9hG4bK%%b\r\nFrom: <sip:a@x>;tag=%%b\r\nTo: <sip:x>\r\nCall-ID: %%b\r\nCSeq: 1 %s\r\n%s\r\n", method, from, method, more)
	}
	forms := []struct{ name, text string }{
		{"INVITE", head("INVITE", "Contact: <sip:a@x>\r\n")},
		{"INVITE, Authorization: x", head("INVITE", "Authorization: x\r\nContact: <sip:a@x>\r\n")},
		{"INVITE, broken Contact", head("INVITE", "Contact: <sip:\r\n")},
		{"INVITE, broken Contact, Authorization: x", head("INVITE", "Authorization: x\r\nContact: <sip:\r\n")},
		{"INVITE, broken Record-Route", head("INVITE", "Record-Route: <\r\nContact: <sip:a@x>\r\n")},
		{"INVITE, broken Record-Route, Authorization: x", head("INVITE", "Authorization: x\r\nRecord-Route: <\r\nContact: <sip:a@x>\r\n")},
		{"INVITE, old nonce", head("INVITE", "Authorization: Digest username=\"phones\", realm=\"flowbridge\", nonce=\""+strings.Repeat("0", 60)+"\", uri=\"sip:x\", response=\"0\"\r\nContact: <sip:a@x>\r\n")},
		{"INVITE, no Contact, Proxy-Authorization: x", head("INVITE", "Proxy-Authorization: x\r\n")},
		{"INVITE, Require", head("INVITE", "Require: x\r\nContact: <sip:a@x>\r\n")},
		{"INVITE, Max-Forwards 0", head("INVITE", "Max-Forwards: 0\r\nContact: <sip:a@x>\r\n")},
		{"INVITE, long reason in a header", head("INVITE", "Content-Length: "+strings.Repeat("9", 200)+"\r\n")},
		{"INVITE, SIP/7.0", strings.Replace(head("INVITE", ""), "SIP/2.0\r\nVia", "SIP/7.0\r\nVia", 1)},
		{"INVITE, http URI", strings.Replace(head("INVITE", ""), "sip:x SIP", "http:x SIP", 1)},
		{"INVITE, To tag of nobody", strings.Replace(head("INVITE", ""), "To: <sip:x>", "To: <sip:x>;tag="+strings.Repeat("a", 28), 1)},
		{"BYE, To tag of nobody", strings.Replace(head("BYE", ""), "To: <sip:x>", "To: <sip:x>;tag="+strings.Repeat("a", 28), 1)},
		{"long INVITE", head("INVITE", padding+"Contact: <sip:a@x>\r\n")},
		{"long INVITE, Authorization: x", head("INVITE", padding+"Authorization: x\r\nContact: <sip:a@x>\r\n")},
		{"long INVITE, broken Contact, Authorization: x", head("INVITE", padding+"Authorization: x\r\nContact: <sip:\r\n")},
		{"long INVITE, broken Record-Route", head("INVITE", padding+"Record-Route: <\r\nContact: <sip:a@x>\r\n")},
		{"long INVITE, Require", head("INVITE", padding+"Require: x\r\nContact: <sip:a@x>\r\n")},
		{"INVITE, compact, no Via", "INVITE sip:x SIP/2.0\r\nf: <sip:a@x>;tag=1\r\nt: <sip:x>\r\ni: %b\r\nCSeq: 1 INVITE\r\n\r\n"},
		{"half an INVITE", "INVITE sip:x SIP/2.0\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK%b\r\nFrom"},
		{"line ends", "\r\n\r\n"},
		{"one line end", "\r\n"},
		{"a NUL", "\x00"},
		{"a response", "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP x;branch=z9hG4bK%b\r\nFrom: <sip:a@x>;tag=1\r\nTo: <sip:x>;tag=2\r\nCall-ID: %b\r\nCSeq: 1 INVITE\r\n\r\n"},
		{"INVITE, Via in 20 values", strings.Replace(head("INVITE", ""), "branch=z9hG4bK%b\r\n", "branch=z9hG4bK%b"+strings.Repeat(",SIP/2.0/UDP x", 20)+"\r\n", 1)},
	}
	for _, method := range []string{"OPTIONS", "REGISTER", "ACK", "BYE", "CANCEL", "MESSAGE", "SUBSCRIBE", "NOTIFY", "PUBLISH", "INFO", "UPDATE", "PRACK", "REFER", "X"} {
		forms = append(forms, struct{ name, text string }{method, head(method, "")})
		forms = append(forms, struct{ name, text string }{"long " + method + ", Authorization: x", head(method, padding+"Authorization: x\r\n")})
	}
	return forms
}

// onePatience covers the retransmissions of a transaction that should not exist.
const onePatience = 10 * time.Second

// strangers sends each form once, and then some of them in floods, to a Flowbridge with
// a trunk that comes from anywhere, and to one without.
func strangers(b *bench) ([]*row, error) {
	var rows []*row
	for _, open := range []bool{true, false} {
		s, err := b.start(options{phones: open})
		if err != nil {
			return nil, err
		}
		more, err := strangersOf(s, open, b.seconds)
		s.stop()
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// floods are the forms that are sent in floods.
var floods = []string{
	"INVITE, Authorization: x", "INVITE, broken Contact, Authorization: x", "long INVITE", "long INVITE, Authorization: x",
	"long INVITE, broken Contact, Authorization: x", "long INVITE, broken Record-Route", "long OPTIONS, Authorization: x",
}

func strangersOf(s *system, open bool, seconds int) ([]*row, error) {
	suffix := " (no open trunk)"
	if open {
		suffix = " (an open trunk)"
	}
	once, err := eachOnce("strangers: each form once"+suffix, func(i int) netip.AddrPort { return netip.AddrPortFrom(strangerAddr(1+i), 5060) }, true)
	if err != nil {
		return nil, err
	}
	if !open {
		once.must(once.Answers == 0, "strangers got %d answers, although nobody may come from anywhere", once.Answers)
	}
	rows := []*row{once}
	forms := strangerForms(netip.AddrPortFrom(strangerAddr(1), 5060))
	for i, f := range forms {
		if !slices.Contains(floods, f.name) {
			continue
		}
		r, err := stranger(s, "strangers: flood, "+f.name+suffix, i, seconds)
		if err != nil {
			return nil, err
		}
		rows = append(rows, r)
		if !open {
			break
		}
	}
	return rows, nil
}

// eachOnce sends each form from an address or port of its own, and counts what comes
// back. No form gets two answers, but one that becomes a call; with bounded, none gets
// more bytes than it has.
func eachOnce(name string, from func(i int) netip.AddrPort, bounded bool) (*row, error) {
	r := &row{Attack: name}
	total := &tally{}
	began := time.Now()
	type sent struct {
		name  string
		count *tally
		call  atomic.Bool
	}
	var all []*sent
	for i := range strangerForms(netip.AddrPort{}) {
		count := &tally{}
		one := &sent{count: count}
		p, err := newPeer(from(i).Addr(), from(i).Port(), count, func(_ *peer, m sip.Message) {
			if m.Is("100") {
				one.call.Store(true)
			}
		})
		if err != nil {
			return nil, err
		}
		defer p.close()
		form := strangerForms(p.addr)[i]
		p.send(strings.ReplaceAll(form.text, "%b", fmt.Sprintf("once%d", i)))
		one.name = form.name
		all = append(all, one)
	}
	time.Sleep(onePatience)
	worst, worstName := 0.0, ""
	for _, one := range all {
		c := one.count
		total.requests.Add(1)
		total.bytesIn.Add(c.bytesIn.Load())
		total.bytesOut.Add(c.bytesOut.Load())
		total.answers.Add(c.answers.Load())
		if one.call.Load() {
			continue
		}
		r.must(c.answers.Load() <= 1, "%s: %d answers to one request", one.name, c.answers.Load())
		r.must(!bounded || c.bytesOut.Load() <= c.bytesIn.Load(), "%s: %d bytes for %d", one.name, c.bytesOut.Load(), c.bytesIn.Load())
		if ratio := float64(c.bytesOut.Load()) / float64(c.bytesIn.Load()); ratio > worst {
			worst, worstName = ratio, one.name
		}
	}
	r.take(total, began)
	r.Found = "nothing is answered"
	if worstName != "" {
		r.Found = fmt.Sprintf("most for one byte, calls apart: %.2f (%s)", worst, worstName)
	}
	return r, nil
}

// strangerAnswers bounds the answers to strangers: a second's worth at once, and then so
// many a second.
const strangerAnswers = 200

// stranger floods with one form from 50 addresses, while a trunk calls.
func stranger(s *system, name string, form, seconds int) (*row, error) {
	r := &row{Attack: name}
	count := &tally{}
	var senders []*peer
	for i := range 50 {
		p, err := newPeer(strangerAddr(100+i), 5060, count, func(*peer, sip.Message) {})
		if err != nil {
			return nil, err
		}
		defer p.close()
		senders = append(senders, p)
	}
	texts := make([]string, len(senders))
	for i, p := range senders {
		texts[i] = strangerForms(p.addr)[form].text
	}
	honest := s.honest(carrierAddr, seconds)
	began := time.Now()
	pace(began.Add(time.Duration(seconds)*time.Second), 2000, func(n int) {
		i := n % len(senders)
		senders[i].send(strings.ReplaceAll(texts[i], "%b", fmt.Sprintf("f%d", n)))
	})
	took := time.Since(began).Seconds()
	r.Calls, r.Disturbed = honest()
	time.Sleep(time.Second)
	r.take(count, began)
	r.Found = fmt.Sprintf("%.0f answers a second", float64(r.Answers)/took)
	r.must(float64(r.Answers) <= strangerAnswers*(took+2), "%d answers in %.1f s", r.Answers, took)
	r.must(r.BytesOut <= r.BytesIn, "%d bytes for %d", r.BytesOut, r.BytesIn)
	r.must(r.Disturbed == 0, "%d of %d calls of the trunk were disturbed", r.Disturbed, r.Calls)
	return r, nil
}

// forgedTrunk sends each form with the address of a trunk, which over UDP anybody can
// forge.
func forgedTrunk(b *bench) ([]*row, error) {
	s, err := b.start(options{phones: true})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	r, err := eachOnce("forged: each form once, from a trunk's address", func(int) netip.AddrPort { return netip.AddrPortFrom(neighbourAddr, 0) }, false)
	if err != nil {
		return nil, err
	}
	return []*row{r}, nil
}
