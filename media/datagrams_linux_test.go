package media

import (
	"bytes"
	"net/netip"
	"testing"
)

// record returns a datagram that looks like a DTLS record.
func record(kind byte, body string) []byte {
	pkt := append([]byte{kind, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, byte(len(body))}, body...)
	return pkt
}

// A side whose keys are awaited sends and receives only the datagrams of the key agreement.
func TestAwaitedKeys(t *testing.T) {
	s := newSecured(t, [2]Suite{})
	must(t, s.SetCrypto(SideB, Crypto{Awaited: true}))
	d := s.Datagrams(SideB)
	s.a.send(s.Local(SideA), rtpPacket(t, 0, 1, "too early"))
	s.b.send(s.Local(SideB), rtpPacket(t, 0, 1, "too early, and long enough to have a tag"))
	await(t, "the drops", func() bool {
		st := s.Stats()
		return st.A.Dropped.Unprotected == 1 && st.B.Dropped.Unauthentic == 1
	})
	for _, pkt := range [][]byte{record(19, "no"), record(64, "no"), {22, 0xfe}} {
		s.b.send(s.Local(SideB), pkt)
	}
	s.b.send(s.Local(SideB), record(22, "hello"))
	if got := <-d.Received(); !bytes.Equal(got, record(22, "hello")) {
		t.Errorf("received % x", got)
	}
	d.Send(record(22, "hello to you"))
	if got, from := s.b.read(); !bytes.Equal(got, record(22, "hello to you")) || from != s.Local(SideB) {
		t.Errorf("the side got % x from %v", got, from)
	}
	newClient(t, "127.0.9.9:0").send(s.Local(SideB), record(22, "a stranger"))
	await(t, "the stranger", func() bool { return s.Stats().B.Dropped.WrongSource == 1 })
	s.crypto[SideB] = Crypto{Receive: testKeys(SuiteAEADAES128GCM, 1), Send: testKeys(SuiteAEADAES128GCM, 2)}
	s.seals[SideB], s.unseals[SideB] = far(t, s.crypto[SideB].Receive), far(t, s.crypto[SideB].Send)
	must(t, s.SetCrypto(SideB, s.crypto[SideB]))
	s.carries(SideA, rtpPacket(t, 0, 2, "now"))
	s.carries(SideB, rtpPacket(t, 0, 2, "now"))
	s.b.send(s.Local(SideB), record(22, "again"))
	if got := <-d.Received(); !bytes.Equal(got, record(22, "again")) {
		t.Errorf("received % x", got)
	}
	s.Close()
	<-d.Done()
	d.Send(record(22, "too late"))
	s.b.expectNothing()
}

// A channel for datagrams closes when another one is opened, and when the side switches to plain RTP: then its records
// are dropped. On a closed session a new channel is closed at once.
func TestDatagramsEnd(t *testing.T) {
	s := newSecured(t, [2]Suite{})
	must(t, s.SetCrypto(SideA, Crypto{Awaited: true}))
	first := s.Datagrams(SideA)
	second := s.Datagrams(SideA)
	<-first.Done()
	must(t, s.SetCrypto(SideA, Crypto{}))
	<-second.Done()
	s.a.send(s.Local(SideA), record(22, "hello"))
	await(t, "the drop", func() bool { return s.Stats().A.Dropped.Malformed == 1 })
	s.Close()
	<-s.Datagrams(SideA).Done()
}

// A datagram without a reader is dropped and delays nothing.
func TestDatagramsAreBounded(t *testing.T) {
	d := NewDatagrams(func([]byte) {})
	for range 10 * datagramsWaiting {
		d.Deliver(record(22, "junk"))
	}
	if n := len(d.Received()); n != datagramsWaiting {
		t.Errorf("%d wait; want %d", n, datagramsWaiting)
	}
}

// A process that continues a session while keys are awaited relays nothing unencrypted.
func TestAwaitedKeysInTheNextLife(t *testing.T) {
	s := newSecured(t, [2]Suite{})
	must(t, s.SetCrypto(SideB, Crypto{Awaited: true}))
	s.a.send(s.Local(SideA), rtpPacket(t, 0, 1, "too early"))
	await(t, "the drop", func() bool { return s.Stats().A.Dropped.Unprotected == 1 })
	st := s.State()
	if c := st.Sides[SideB].Crypto; c == nil || !c.Awaited || len(st.Keys) > 0 {
		t.Fatalf("the state has %+v and %d keys", c, len(st.Keys))
	}
	all, err := st.secure(0, 0)
	if err != nil || all[SideB].in == nil || all[SideB].in.keyed() || all[SideB].out.keyed() {
		t.Errorf("%+v, %v", all[SideB], err)
	}
	s.Close()
}

// A stranger at the side's address can't attract the side's datagrams. A record from the stranger after the handshake
// changes nothing. As long as the side has not been heard from the address in its SDP, that address gets the datagrams,
// too.
func TestDatagramsOfAStray(t *testing.T) {
	s := newSecured(t, [2]Suite{})
	must(t, s.SetCrypto(SideB, Crypto{Awaited: true}))
	d := s.Datagrams(SideB)
	stray := newClient(t, netip.AddrPortFrom(s.b.addr.Addr(), 0).String())
	late := record(21, "close notify")
	late[4] = 1 // encrypted
	stray.send(s.Local(SideB), late)
	<-d.Received()
	d.Send(record(22, "one"))
	if got, _ := s.b.read(); !bytes.Equal(got, record(22, "one")) {
		t.Errorf("the side got % x", got)
	}
	stray.expectNothing()
	stray.send(s.Local(SideB), record(22, "hello"))
	<-d.Received()
	d.Send(record(22, "two"))
	for _, c := range []*client{stray, s.b} {
		if got, _ := c.read(); !bytes.Equal(got, record(22, "two")) {
			t.Errorf("got % x", got)
		}
	}
	s.b.send(s.Local(SideB), record(22, "hello"))
	<-d.Received()
	stray.send(s.Local(SideB), record(22, "hello"))
	<-d.Received()
	d.Send(record(22, "three"))
	if got, _ := s.b.read(); !bytes.Equal(got, record(22, "three")) {
		t.Errorf("the side got % x", got)
	}
	stray.expectNothing()
	s.b.expectNothing()
}
