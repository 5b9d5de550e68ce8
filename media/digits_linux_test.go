package media

import (
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"flowbridge/media/packet"
	"flowbridge/media/stage"
)

func TestDigitsThatAreRefused(t *testing.T) {
	br := newBridge(t, openEngine(t, nil))
	good := Digit{Digit: '1', PayloadType: 101, Duration: time.Hour}
	for name, change := range map[string]func(d *Digit){
		"no digit":      func(d *Digit) { d.Digit = 'E' },
		"zero":          func(d *Digit) { d.Digit = 0 },
		"payload type":  func(d *Digit) { d.PayloadType = 128 },
		"a slow clock":  func(d *Digit) { d.ClockRate = 999 },
		"a quick clock": func(d *Digit) { d.ClockRate = 192001 },
	} {
		d := good
		change(&d)
		if err := br.SendDigit(SideB, d); !errors.Is(err, stage.ErrDigit) {
			t.Errorf("%s: got %v; want ErrDigit", name, err)
		}
	}
	must(t, br.SendDigit(SideB, good))
	br.b.read() // the digit is being sent
	for range 32 {
		must(t, br.SendDigit(SideB, good))
	}
	if err := br.SendDigit(SideB, good); !errors.Is(err, stage.ErrDigitsWait) {
		t.Errorf("got %v; want ErrDigitsWait", err)
	}
	br.SetPeer(SideB, Peer{RTP: br.b.addr, Held: true})
	if err := br.SendDigit(SideB, good); !errors.Is(err, stage.ErrNoDestination) {
		t.Errorf("held: got %v; want ErrNoDestination", err)
	}
	br.SetPeer(SideB, Peer{})
	if err := br.SendDigit(SideB, good); !errors.Is(err, stage.ErrNoDestination) {
		t.Errorf("no address: got %v; want ErrNoDestination", err)
	}
	if err := br.SendDigit(SideA, good); err != nil {
		t.Errorf("the other side: %v", err)
	}
	br.Close()
	if err := br.SendDigit(SideA, good); !errors.Is(err, errClosed) {
		t.Errorf("closed: got %v; want ErrClosed", err)
	}
}

// This test uses real clocks and sockets: one session sends digits, and another
// one hears them.
func TestDigitsFromOneSessionToAnother(t *testing.T) {
	e := openEngine(t, nil)
	br, far := newBridge(t, e), newBridge(t, e)
	far.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101, Divert: true})
	pkt := sourcePacket(t, 0xa, 9)
	br.carries(pkt)
	before, _ := packet.ParseRTP(pkt)
	read := func() ([]byte, packet.Header) {
		t.Helper()
		pkt, _ := br.b.read()
		h, _ := packet.ParseRTP(pkt)
		if h.Seq != before.Seq+1 || h.SSRC != before.SSRC || h.Timestamp < before.Timestamp {
			t.Errorf("got %+v after %+v", h, before)
		}
		before = h
		return pkt, h
	}
	const dialled = "0159*#AD"
	for i := range dialled {
		must(t, br.SendDigit(SideB, Digit{Digit: dialled[i], PayloadType: 101, Duration: 60 * ms}))
	}
	digits := uint64(0) // packets of digits
	for i := range dialled {
		for ends := 0; ends < digitEnds; digits++ {
			pkt, _ := read()
			if e, _ := packet.ParseEvent(packet.Payload(pkt)); e.End {
				ends++
			}
			far.a.send(far.Local(SideA), pkt)
		}
		if i == 0 {
			far.event(t) // wait for the lock
		}
		if ev := far.event(t); ev != Event(EventDigit{SideA, dialled[i], 60 * ms}) {
			t.Errorf("heard %+v; want %c", ev, dialled[i])
		}
	}
	speech := sourcePacket(t, 0xa, 10)
	binary.BigEndian.PutUint32(speech[4:8], before.Timestamp+8000)
	br.a.send(br.Local(SideA), speech)
	if _, h := read(); h.PayloadType != 0 {
		t.Errorf("got %+v; want speech", h)
	}
	st := br.Close()
	if st.B.TxPackets != digits+2 || len(far.events) != 0 {
		t.Errorf("got %+v and %d digits more; want two packets beside digits", st.B, len(far.events))
	}
}
