package recording

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"

	"flowbridge/media"
)

// captured is a datagram of a capture.
type captured struct {
	at       time.Time
	from, to netip.AddrPort
	data     string
}

// readPcapng reads a capture, and checks lengths and checksums.
func readPcapng(tb testing.TB, b []byte) (all []captured) {
	tb.Helper()
	r, err := pcapgo.NewNgReader(bytes.NewReader(b), pcapgo.DefaultNgReaderOptions)
	must(tb, err)
	for {
		data, info, err := r.ReadPacketData()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			tb.Fatalf("packet %d: %v", len(all), err)
		}
		p := gopacket.NewPacket(data, r.LinkType(), gopacket.Default)
		udp, ok := p.TransportLayer().(*layers.UDP)
		if !ok || info.Length != len(data) {
			tb.Fatalf("packet %d: %v, %+v", len(all), p, info)
		}
		must(tb, udp.SetNetworkLayerForChecksum(p.NetworkLayer()))
		err, wrong := p.VerifyChecksums()
		wrong = slices.DeleteFunc(wrong, func(m gopacket.ChecksumMismatch) bool {
			return m.Correct == 0 && m.Actual == 0xffff // RFC 768: a sum of zero is sent as all ones
		})
		if err != nil || len(wrong) > 0 {
			tb.Fatalf("packet %d: checksums %v %v", len(all), err, wrong)
		}
		from, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Src().Raw())
		to, _ := netip.AddrFromSlice(p.NetworkLayer().NetworkFlow().Dst().Raw())
		if int(udp.Length) != 8+len(udp.Payload) {
			tb.Errorf("packet %d: length %d of %d", len(all), udp.Length, len(udp.Payload))
		}
		all = append(all, captured{
			info.Timestamp, netip.AddrPortFrom(from, uint16(udp.SrcPort)), netip.AddrPortFrom(to, uint16(udp.DstPort)), string(udp.Payload),
		})
	}
}

// TestRecording records three seconds of two sides, and SIP.
func TestRecording(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		defer a.shut(t)
		before := time.Now()
		time.Sleep(time.Second)
		r := begun(t, a, 1)
		began := time.Now()
		sipA := netip.MustParseAddrPort("192.0.2.10:5060")
		r.Message(before, sipA, localA, []byte("INVITE"))
		var want []captured
		want = append(want, captured{before, sipA, localA, "INVITE"})
		for n := range 150 {
			pktA, pktB := speech(0, 1, n), speech(8, 2, n)
			r.tap(media.SideA, media.RTP, pktA)
			r.tap(media.SideB, media.RTP, pktB)
			want = append(want, captured{time.Now(), addrA, localA, string(pktA)}, captured{time.Now(), addrB, localB, string(pktB)})
			if n == 75 {
				r.tap(media.SideB, media.RTCP, []byte("report"))
				want = append(want, captured{time.Now(), netip.AddrPortFrom(addrB.Addr(), 30001), netip.AddrPortFrom(localB.Addr(), 10003), "report"})
			}
			if n == 77 { // the writer looks at 1500 ms and at 1600 ms
				r.Message(time.Now(), localA, sipA, []byte("200"))
				want = slices.Insert(want, len(want)-2, captured{time.Now(), localA, sipA, "200"})
			}
			if n == 100 {
				if names := tree(t, a); len(names) != 2 || !strings.HasSuffix(names[0], ".part") || !strings.HasSuffix(names[1], ".part") {
					t.Errorf("while it is recorded there are %v", names)
				}
			}
			time.Sleep(20 * time.Millisecond)
		}
		r.Stop()
		r.tap(media.SideA, media.RTP, speech(0, 1, 151))
		r.Stop()
		<-r.Done()
		const dir = "2000/01/01/"
		files := r.Files()
		for i, format := range []string{FormatWAV, FormatPcapng} {
			f := files[i]
			info, err := os.Stat(a.cfg.Dir + "/" + f.Name)
			must(t, err)
			if f.Name != dir+callID+"."+format || f.Format != format || !f.StartedAt.Equal(began) || f.EndedAt.IsZero() ||
				f.Bytes != info.Size() || f.Dropped != 0 || f.Err != "" || info.Mode() != 0o600 {
				t.Errorf("%+v with %v %v", f, info.Size(), info.Mode())
			}
		}
		w := readWAV(t, fileOf(t, a, files[0].Name))
		var left, right []int16
		for n := range 150 {
			left, right = append(left, heard(0, n)...), append(right, heard(8, n)...)
		}
		if !slices.Equal(w.left, left) || !slices.Equal(w.right, right) {
			t.Errorf("the WAV has %d frames, and not what was said, %d", len(w.left), len(left))
		}
		got := readPcapng(t, fileOf(t, a, files[1].Name))
		if len(got) != len(want) {
			t.Fatalf("%d packets were captured; want %d", len(got), len(want))
		}
		for i := range want {
			if !got[i].at.Equal(want[i].at) {
				t.Errorf("packet %d is of %v; want %v", i, got[i].at, want[i].at)
			}
			if got[i].at = want[i].at; got[i] != want[i] {
				t.Errorf("packet %d: %q %v %v; want %q %v %v", i, got[i].data, got[i].from, got[i].to, want[i].data, want[i].from, want[i].to)
			}
		}
		if r.Failed() {
			t.Error("a recording that was stopped counts as failed")
		}
	})
}

// TestCaptureNamesOurAddresses: media addresses are what peers were told.
func TestCaptureNamesOurAddresses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		defer a.shut(t)
		public := netip.MustParseAddr("203.0.113.1")
		r, err := a.Record(Call{ID: callID, Part: 1, Local: [2]netip.Addr{public, {}}})
		must(t, err)
		r.tap(media.SideA, media.RTP, speech(0, 1, 0))
		r.tap(media.SideB, media.RTP, speech(0, 1, 0))
		r.Message(time.Now(), addrA, localA, make([]byte, MaxDatagram+1)) // more than a datagram holds
		r.Stop()
		<-r.Done()
		got := readPcapng(t, fileOf(t, a, r.Files()[1].Name))
		if len(got) != 2 || got[0].to != netip.AddrPortFrom(public, localA.Port()) || got[1].to != localB {
			t.Errorf("captured %+v", got)
		}
	})
}

func TestPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		defer a.shut(t)
		r := begun(t, a, 3)
		for n := range 150 {
			if n == 50 {
				r.Pause()
			}
			if n == 100 {
				r.Resume()
			}
			if r.Paused() != (n >= 50 && n < 100) {
				t.Errorf("packet %d: paused is %v", n, r.Paused())
			}
			r.tap(media.SideA, media.RTP, speech(0, 1, n))
			r.Message(time.Now(), addrA, localA, []byte("INFO"))
			time.Sleep(20 * time.Millisecond)
		}
		r.Stop()
		<-r.Done()
		w := readWAV(t, fileOf(t, a, "2000/01/01/"+callID+"-3.wav"))
		var want []int16
		for n := range 150 {
			if n >= 50 && n < 100 {
				want = append(want, make([]int16, 160)...)
				continue
			}
			want = append(want, heard(0, n)...)
		}
		if !slices.Equal(w.left, want) || slices.ContainsFunc(w.right, func(v int16) bool { return v != 0 }) {
			t.Error("the WAV is not what was said, with silence for the pause")
		}
		if got := readPcapng(t, fileOf(t, a, "2000/01/01/"+callID+"-3.pcapng")); len(got) != 200 {
			t.Errorf("%d packets were captured; want 200", len(got))
		}
	})
}

// TestUndecodable: there is no WAV of a codec that can't be decoded, with the
// reason, and a capture all the same; one that begins with G.711 ends there.
func TestUndecodable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		defer a.shut(t)
		opus := Payloads{OtherName: "opus"}
		opus.Other.Add(96)
		from, err := a.Record(Call{ID: callID, Part: 1, Payloads: [2]Payloads{g711(), opus}})
		must(t, err)
		later := begun(t, a, 2)
		for n := range 100 {
			if n == 50 {
				later.SetPayloads(media.SideB, opus)
			}
			for _, r := range []*Recorder{from, later} {
				r.tap(media.SideA, media.RTP, speech(0, 1, n))
				r.tap(media.SideB, media.RTP, speech(96, 2, n))
			}
			time.Sleep(20 * time.Millisecond)
		}
		for _, r := range []*Recorder{from, later} {
			if r.Failed() {
				t.Error("the recording counts as failed")
			}
			r.Stop()
			<-r.Done()
			f := r.Files()
			if !strings.Contains(f[0].Err, "opus can't be decoded") || f[0].EndedAt.IsZero() || f[1].Err != "" {
				t.Errorf("files: %+v", f)
			}
			if got := readPcapng(t, fileOf(t, a, f[1].Name)); len(got) != 200 {
				t.Errorf("%d packets were captured; want 200", len(got))
			}
		}
		if name := from.Files()[0].Name; name != "" {
			t.Errorf("there is a file %s", name)
		}
		if names := tree(t, a); len(names) != 3 {
			t.Errorf("there are %v; want one WAV and two captures", names)
		}
		readWAV(t, fileOf(t, a, later.Files()[0].Name))
	})
}

// TestSilentPayloads: comfort noise, telephone-events and unknown payloads are
// silence.
func TestSilentPayloads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		defer a.shut(t)
		r := begun(t, a, 1)
		for n := range 20 {
			r.tap(media.SideA, media.RTP, speech([]byte{13, 101, 77}[n%3], 1, n))
			time.Sleep(20 * time.Millisecond)
		}
		r.Stop()
		<-r.Done()
		w := readWAV(t, fileOf(t, a, r.Files()[0].Name))
		if len(w.left) != 20*160 || slices.ContainsFunc(w.left, func(v int16) bool { return v != 0 }) {
			t.Errorf("%d frames, or not silent", len(w.left))
		}
	})
}

func TestSizeLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const limit = 100_000
		a := opened(t, func(c *Config) { c.MaxSize = limit })
		defer a.shut(t)
		r := begun(t, a, 1)
		for n := range 1000 {
			r.tap(media.SideA, media.RTP, speech(0, 1, n))
			time.Sleep(20 * time.Millisecond)
		}
		if !r.Failed() {
			t.Error("the recording goes on")
		}
		r.Stop()
		<-r.Done()
		for _, f := range r.Files() {
			if f.Err != errFull.Error() || f.Bytes > limit || f.Bytes < limit/2 {
				t.Errorf("file %+v; want %v, and between %d and %d bytes", f, errFull, limit/2, limit)
			}
		}
		w := readWAV(t, fileOf(t, a, r.Files()[0].Name))
		for n := range len(w.left) / 160 {
			if !slices.Equal(w.left[n*160:(n+1)*160], heard(0, n)) {
				t.Fatalf("packet %d is not what was said", n)
			}
		}
		if got := readPcapng(t, fileOf(t, a, r.Files()[1].Name)); len(got) < 200 {
			t.Errorf("%d packets were captured; want more than 200", len(got))
		}
	})
}
