package calltest

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
	"github.com/rs/zerolog"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/registry"
	"flowbridge/media"
	"flowbridge/media/recording"
	"flowbridge/store/record"
)

// recorded is a world whose calls can be recorded.
type recorded struct {
	*world
	archive *recording.Archive
	dir     string
	log     *bytes.Buffer // the whole log, at level debug
}

// recordingYAML is talkYAML with additional keys in the first route.
func recordingYAML(route, target string) string {
	yaml := strings.Replace(talkYAML("", target), "targets: [agent]}", "targets: [agent], "+route+"}", 1)
	return "recording: {path: unused, format: [wav, pcapng]}\n" + yaml
}

func inRecordedWorld(t *testing.T, yaml string, test func(w *recorded)) {
	t.Helper()
	w := &recorded{dir: t.TempDir(), log: &bytes.Buffer{}}
	inWorldOf(t, yaml, func(o *b2bua.Options) {
		a, err := recording.Open(recording.Config{
			Dir: w.dir, Formats: o.Config.Recording.Formats, Keep: time.Hour, MaxSize: 1 << 30, Log: zerolog.Nop(),
		})
		must(t, err)
		w.archive, o.Archive = a, a
		o.Log = zerolog.New(zerolog.SyncWriter(w.log))
	}, func(x *world) {
		defer func() {
			synctest.Wait()
			if err := w.archive.Close(x.t.Context()); err != nil {
				x.t.Error(err)
			}
		}()
		w.world = x
		test(w)
	})
}

// session returns the media session of the first call, after the server has nothing left to
// do.
func (w *world) session() *fakeSession {
	synctest.Wait()
	return w.relay.sessions[0]
}

// says passes a packet of this side to the recorder, if the call has one, and returns the
// packet.
func (w *recorded) says(side media.Side, payloadType byte, n int) []byte {
	pkt := make([]byte, 12, 172)
	pkt[0], pkt[1] = 0x80, payloadType
	binary.BigEndian.PutUint16(pkt[2:], uint16(n))
	binary.BigEndian.PutUint32(pkt[4:], uint32(n)*160)
	binary.BigEndian.PutUint32(pkt[8:], uint32(side)+1)
	for i := range 160 {
		pkt = append(pkt, byte(i))
	}
	if tap := w.session().tapped(); tap != nil {
		tap.Packet(media.Tapped{
			At: time.Now(), Side: side, Source: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, 10 * byte(side+1)}), 20000),
			Local: w.session().local[side], Data: pkt,
		})
	}
	return pkt
}

// talks makes both sides send this number of packets, 20 ms apart.
func (w *recorded) talks(packets int) {
	for n := range packets {
		w.says(media.SideA, 0, n)
		w.says(media.SideB, 0, n)
		time.Sleep(20 * time.Millisecond)
	}
}

// order sends an order to the only live call, and returns its result.
func (w *world) order(what bridge.Order) (registry.LiveCall, error) {
	w.t.Helper()
	live := w.server.Live(w.t.Context())
	if len(live) != 1 {
		w.t.Fatalf("%d live calls", len(live))
	}
	return w.server.Order(w.t.Context(), live[0].Record.ID, what)
}

// does sends an order that must succeed, and checks the state of the recording after it.
func (w *world) does(what bridge.Order, state string) registry.LiveCall {
	w.t.Helper()
	l, err := w.order(what)
	if err != nil || l.Recording != state {
		w.t.Fatalf("order %s: recording %s, %v; want %s", what, l.Recording, err, state)
	}
	return l
}

// refuses sends an order that must fail with an error containing why.
func (w *world) refuses(what bridge.Order, why string) {
	w.t.Helper()
	_, err := w.order(what)
	var refused *bridge.OrderError
	if !errors.As(err, &refused) || !strings.Contains(refused.Problem, why) || refused.Remedy == "" {
		w.t.Errorf("order %s: %v; want %q", what, err, why)
	}
}

func (w *recorded) file(f record.Recording) []byte {
	w.t.Helper()
	b, err := os.ReadFile(filepath.Join(w.dir, f.File))
	must(w.t, err)
	return b
}

// datagram is a UDP datagram that a test has read from a capture.
type datagram struct {
	from, to netip.AddrPort
	data     string
}

// capture reads a recording's capture file, and returns its SIP and its RTP.
func (w *recorded) capture(f record.Recording) (sip, rtp []datagram) {
	w.t.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(w.file(f)), pcapgo.DefaultNgReaderOptions)
	must(w.t, err)
	for {
		data, _, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return sip, rtp
		}
		must(w.t, err)
		p := gopacket.NewPacket(data, r.LinkType(), gopacket.Default)
		udp := p.TransportLayer().(*layers.UDP)
		from, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
		to, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
		d := datagram{netip.AddrPortFrom(from, uint16(udp.SrcPort)), netip.AddrPortFrom(to, uint16(udp.DstPort)), string(udp.Payload)}
		if d.data[0] == 0x80 {
			rtp = append(rtp, d)
		} else {
			sip = append(sip, d)
		}
	}
}

// startLines returns the start lines of messages, by their beginning.
func startLines(sip []datagram) (lines []string) {
	for _, d := range sip {
		line, _, _ := strings.Cut(d.data, "\r\n")
		method, rest, _ := strings.Cut(line, " ")
		if method == "SIP/2.0" {
			method, _, _ = strings.Cut(rest, " ")
		}
		lines = append(lines, method)
	}
	return lines
}
