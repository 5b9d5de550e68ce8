package recording

import (
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"flowbridge/media"
)

// TestRecordingOfASession records a session between two endpoints that send at the
// pace of speech over real sockets: the WAV has what each said, sample by sample,
// and the capture each packet. Recording begins and ends in mid-call, and the other
// side does not miss a packet.
func TestRecordingOfASession(t *testing.T) {
	addr := netip.MustParseAddr("127.78.0.1")
	engine, err := media.Open(media.Config{Listen: []netip.Addr{addr}, PortLow: 22000, PortHigh: 22099})
	must(t, err)
	defer engine.Close()
	session, err := engine.NewSession(media.SessionConfig{})
	must(t, err)
	var ends [2]*net.UDPConn
	for side, a := range []string{"127.78.0.2:0", "127.78.0.3:0"} {
		ends[side], err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(a)))
		must(t, err)
		defer ends[side].Close()
		session.SetPeer(media.Side(side), media.Peer{RTP: ends[side].LocalAddr().(*net.UDPAddr).AddrPort()})
	}
	a := opened(t, nil)
	defer a.shut(t)
	buf := make([]byte, 2048)
	exchange := func(n int) {
		t.Helper()
		for side, end := range ends {
			pkt := speech(byte(8*side), uint32(side+1), n)
			if _, err := end.WriteToUDPAddrPort(pkt, session.Local(media.Side(side))); err != nil {
				t.Fatal(err)
			}
			other := ends[1-side]
			_ = other.SetReadDeadline(time.Now().Add(time.Minute))
			if size, err := other.Read(buf); err != nil || !slices.Equal(buf[12:size], pkt[12:]) {
				t.Fatalf("packet %d of side %d: %v", n, side, err)
			}
		}
	}
	const before, during, after = 10, 100, 10
	for n := range before {
		exchange(n)
	}
	r := begun(t, a, 1)
	session.SetTap(r)
	start := time.Now()
	for n := before; n < before+during; n++ {
		exchange(n)
		// Who had to wait makes up for it: a recording goes by the clock.
		<-time.After(time.Until(start.Add(time.Duration(n-before+1) * 20 * time.Millisecond)))
	}
	session.SetTap(nil)
	r.Stop()
	for n := before + during; n < before+during+after; n++ {
		exchange(n)
	}
	<-r.Done()
	files := r.Files()
	w := readWAV(t, fileOf(t, a, files[0].Name))
	for side, channel := range [][]int16{w.left, w.right} {
		var want []int16
		for n := before; n < before+during; n++ {
			want = append(want, heard(byte(8*side), n)...)
		}
		first := slices.IndexFunc(channel, func(v int16) bool { return v != 0 })
		start := slices.IndexFunc(want, func(v int16) bool { return v != 0 })
		if first -= start; first < 0 || first+len(want) > len(channel) || !slices.Equal(channel[first:first+len(want)], want) {
			t.Errorf("side %d: what was said is not in the WAV, from frame %d of %d on", side, first, len(channel))
			continue
		}
		if slices.ContainsFunc(append(slices.Clone(channel[:first]), channel[first+len(want):]...), func(v int16) bool { return v != 0 }) {
			t.Errorf("side %d: there is more in the WAV than was said", side)
		}
	}
	got := readPcapng(t, fileOf(t, a, files[1].Name))
	if len(got) != 2*during {
		t.Fatalf("%d packets were captured; want %d", len(got), 2*during)
	}
	for i, p := range got {
		side := media.SideA
		if p.data[1] == 8 {
			side = media.SideB
		}
		if p.to != session.Local(side) || p.data != string(speech(p.data[1], uint32(side+1), before+i/2)) {
			t.Errorf("packet %d: %v to %v", i, p.from, p.to)
		}
	}
	session.Close()
}
