package sip

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// wire is two ends and what is between them: lose has messages be lost, by their first lines.
type wire struct {
	sync.Mutex
	near, far End
	said      []string // with the second when it was
	lose      func(start string, times int) bool
}

func newWire(lose func(start string, times int) bool) *wire {
	w, seen := &wire{lose: lose}, map[string]int{}
	begun := time.Now()
	after := func(d time.Duration, f func()) {
		time.AfterFunc(d, func() {
			w.Lock()
			defer w.Unlock()
			f()
		})
	}
	link := func(e, to *End, at, peer string) {
		e.Name, e.Addr, e.Peer, e.After = at[:9]+"x", netip.MustParseAddrPort(at), netip.MustParseAddrPort(peer), after
		e.Send = func(text string, _ netip.AddrPort) {
			m := Message(text)
			line, _, _ := strings.Cut(m.Start(), " sip:")
			if line = strings.TrimPrefix(line, "SIP/2.0 "); m.Status() != 0 {
				line += " " + m.Method()
			}
			seen[line]++
			w.said = append(w.said, fmt.Sprintf("%v %s", time.Since(begun).Seconds(), line))
			if w.lose == nil || !w.lose(line, seen[line]) {
				after(0, func() { to.Heard(m, e.Addr) })
			}
		}
	}
	link(&w.near, &w.far, "127.0.0.1:5060", "127.0.0.2:5060")
	link(&w.far, &w.near, "127.0.0.2:5060", "127.0.0.1:5060")
	w.far.Arrive = func(_ *Dialog, s *Server) { s.Accept("Contact: <sip:a@127.0.0.2:5060>\r\n" + Empty) }
	return w
}

// call has the near end call, do something after 40 s and then hang up. said is what was sent, finals what was answered.
func call(t *testing.T, lose func(string, int) bool, with func(*wire), then func(invite *Client)) (finals []int, said []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWire(lose)
		note := func(m Message) { finals = append(finals, m.Status()) }
		w.Lock()
		if with != nil {
			with(w)
		}
		d := w.near.Dial("1", "2")
		invite := d.Ask("INVITE", Empty, note)
		w.Unlock()
		time.Sleep(40 * time.Second)
		w.Lock()
		if then != nil {
			then(invite)
		}
		if d.Answered {
			d.Ask("BYE", Empty, note)
		}
		w.Unlock()
		time.Sleep(2 * time.Minute)
		w.Lock()
		defer w.Unlock()
		said = w.said
	})
	return finals, said
}

func TestCallRepeatsWhatIsLost(t *testing.T) {
	finals, said := call(t, func(_ string, times int) bool { return times == 1 }, nil, nil)
	want := []string{
		"0 INVITE", "0.5 INVITE", "0.5 200 OK INVITE", "1 200 OK INVITE", "1 ACK", "2 200 OK INVITE", "2 ACK",
		"40 BYE", "40.5 BYE", "40.5 200 OK BYE", "41.5 BYE", "41.5 200 OK BYE",
	}
	if !slices.Equal(finals, []int{200, 200}) || !slices.Equal(said, want) {
		t.Errorf("finals %v, said %q; want %q", finals, said, want)
	}
}

func TestCallIsGivenUp(t *testing.T) {
	rings := func(w *wire) {
		w.far.Arrive = func(_ *Dialog, s *Server) { s.Respond("180 Ringing", Empty) }
	}
	for _, test := range []struct {
		name   string
		lose   func(string, int) bool
		with   func(*wire)
		then   func(*Client)
		finals []int
		last   string
	}{
		{"nobody answers", func(string, int) bool { return true }, nil, nil, []int{0}, "31.5 INVITE"},
		{"it rings on", nil, rings, nil, nil, "0 180 Ringing INVITE"},
		{"it rings too long", nil, func(w *wire) { rings(w); w.near.Impatient = true }, nil, []int{0}, "0 180 Ringing INVITE"},
		{"CANCEL", nil, rings, (*Client).Cancel, []int{487}, "40 ACK"},
		{"the 200 has no ACK", func(line string, _ int) bool { return line == "ACK" }, nil, func(*Client) {}, []int{200, 481}, "40 481 Call/Transaction Does Not Exist BYE"},
		{"unknown", nil, func(w *wire) { w.far.Arrive = nil }, nil, []int{481}, "0 ACK"},
	} {
		finals, said := call(t, test.lose, func(w *wire) {
			w.far.Ended = func(d *Dialog, _ string) { d.Finish() }
			if test.with != nil {
				test.with(w)
			}
		}, test.then)
		if !slices.Equal(finals, test.finals) || said[len(said)-1] != test.last {
			t.Errorf("%s: finals %v, said %q", test.name, finals, said)
		}
	}
}

// Requests are routed as the INVITE's answer has recorded (RFC 3261 12.1.2), and what is not in order is refused.
func TestDialog(t *testing.T) {
	var sent []Message
	e := End{Name: "n", Addr: netip.MustParseAddrPort("127.0.0.1:5060"), After: func(time.Duration, func()) {}}
	e.Send = func(text string, _ netip.AddrPort) { sent = append(sent, Message(text)) }
	d := e.Dial("1", "2")
	d.Ask("INVITE", Empty, func(Message) {})
	invite := sent[0]
	e.Heard(Message(invite.Answer("200 OK", "far", "Record-Route: <sip:a;lr>\r\nRecord-Route: <sip:b;lr>\r\nContact: <sip:c@1>\r\n"+Empty)), e.Peer)
	ack := sent[1]
	if ack.Lines("Route") != "Route: <sip:b;lr>\r\nRoute: <sip:a;lr>\r\n" || ack.Start() != "ACK sip:c@1 SIP/2.0" || ack.Tag("To") != "far" {
		t.Errorf("got %s", ack)
	}
	for _, test := range []struct {
		method, tag string
		cseq, want  int
	}{
		{"INFO", d.tag, 5, 200}, {"INFO", d.tag, 4, 500}, {"INFO", "other", 6, 481}, {"INVITE", d.tag, 7, 488}, {"BYE", d.tag, 8, 200}, {"INFO", d.tag, 9, 481},
	} {
		e.Heard(Message(fmt.Sprintf("%s sip:x SIP/2.0\r\nVia: x;branch=%d\r\nFrom: <sip:2>;tag=far\r\nTo: <sip:1>;tag=%s\r\nCall-ID: %s\r\nCSeq: %d %s\r\n\r\n",
			test.method, test.cseq, test.tag, d.CallID, test.cseq, test.method)), e.Peer)
		if got := sent[len(sent)-1]; got.Status() != test.want {
			t.Errorf("%+v: got %s", test, got.Start())
		}
	}
}

func FuzzHeard(f *testing.F) {
	f.Add("BYE sip:x SIP/2.0\r\nVia: a\r\nFrom: b\r\nTo: c\r\nCall-ID: d\r\nCSeq: 1 BYE\r\nContact: <\r\n\r\n")
	f.Fuzz(func(_ *testing.T, text string) {
		e := End{Send: func(string, netip.AddrPort) {}, After: func(time.Duration, func()) {}}
		e.Arrive = func(_ *Dialog, s *Server) { s.Accept(Empty) }
		e.Heard(Message(text), e.Peer)
	})
}
