package media

import (
	"testing"

	"golang.org/x/sys/unix"
)

// sent duplicates sockets as sending them to another process does.
func (s Sockets) sent(t *testing.T) *Sockets {
	t.Helper()
	for side := range s {
		for kind, fd := range s[side] {
			if fd < 0 {
				continue
			}
			var err error
			if s[side][kind], err = unix.Dup(fd); err != nil {
				t.Fatal(err)
			}
		}
	}
	return &s
}

// says sends numbered packets of side A.
func (br *bridge) says(t *testing.T, from, n uint16) {
	t.Helper()
	for seq := range n {
		br.a.send(br.Local(SideA), sourcePacket(t, 7, from+seq))
	}
}

// hear has side B get numbered packets of side A, each once and in turn.
func (br *bridge) hear(t *testing.T, from, n uint16) {
	t.Helper()
	for seq := range n {
		br.b.expect(br.Local(SideB), sourcePacket(t, 7, from+seq))
	}
	br.b.expectNothing()
}

// A session is handed over while packets are on their way: none is lost, and none comes twice.
func TestHandOver(t *testing.T) {
	if path.kernel != nil {
		t.Skip("needs the flows of another process")
	}
	noLeaks(t)
	old := openEngine(t, nil)
	br := newBridge(t, old)
	br.Start()
	br.says(t, 0, 20)
	br.hear(t, 0, 20)

	old.Freeze()
	br.says(t, 20, 50)
	_, _ = br.HandOver()
	br.b.expectNothing()
	old.Thaw() // the first attempt fails
	br.hear(t, 20, 50)
	br.says(t, 70, 10)
	br.hear(t, 70, 10)

	for again := range uint16(3) {
		at := 80 + again*90
		old.Freeze()
		br.says(t, at, 50)
		st, fds := br.HandOver()
		next := openEngine(t, nil)
		next.Freeze()
		s, err := next.Resume(SessionConfig{Sockets: fds.sent(t), OnEvent: func(ev Event) { br.events <- ev }}, filed(t, st))
		if err != nil {
			t.Fatal(err)
		}
		br.Session = s
		old.Leave()
		br.b.expectNothing()
		next.Thaw()
		br.hear(t, at, 50)
		br.says(t, at+50, 40)
		br.hear(t, at+50, 40)
		old = next
	}
	stats := br.Close()
	if a := stats.A; a.RxPackets != 350 || a.Lost+a.Duplicates+a.Reordered+a.SSRCChanges+a.DroppedTotal != 0 || stats.B.TxPackets != 350 {
		t.Errorf("got %+v", stats)
	}
}
