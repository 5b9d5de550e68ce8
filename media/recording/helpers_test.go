package recording

import (
	"encoding/binary"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/media"
	"flowbridge/media/audio"
)

const callID = "01939c5e-0000-7000-8000-0123456789ab"

// opened is an archive in a directory of the test's own.
func opened(tb testing.TB, change func(*Config)) *Archive {
	tb.Helper()
	cfg := Config{
		Dir: filepath.Join(tb.TempDir(), "recordings"), Formats: []string{FormatWAV, FormatPcapng},
		Keep: 24 * time.Hour, MaxSize: 1 << 30, Log: zerolog.Nop(),
	}
	if change != nil {
		change(&cfg)
	}
	a, err := Open(cfg)
	must(tb, err)
	return a
}

func (a *Archive) shut(tb testing.TB) {
	tb.Helper()
	if err := a.Close(tb.Context()); err != nil {
		tb.Error(err)
	}
}

// g711 says that payload type 0 is PCMU and 8 PCMA.
func g711() (p Payloads) {
	p.ULaw.Add(0)
	p.ALaw.Add(8)
	return p
}

func begun(tb testing.TB, a *Archive, part int) *Recorder {
	tb.Helper()
	r, err := a.Record(Call{ID: callID, Part: part, Payloads: [2]Payloads{g711(), g711()}})
	must(tb, err)
	return r
}

// speech is an RTP packet of 20 ms, whose samples are all different for a second.
func speech(payloadType byte, ssrc uint32, n int) []byte {
	p := make([]byte, 12, 172)
	p[0], p[1] = 0x80, payloadType
	binary.BigEndian.PutUint16(p[2:], uint16(n))
	binary.BigEndian.PutUint32(p[4:], uint32(n)*160)
	binary.BigEndian.PutUint32(p[8:], ssrc)
	for i := range 160 {
		p = append(p, byte((n*160+i)%251))
	}
	return p
}

// heard is what a packet of speech sounds like.
func heard(payloadType byte, n int) (samples []int16) {
	for _, b := range speech(payloadType, 0, n)[12:] {
		if payloadType == 8 {
			samples = append(samples, audio.DecodeALaw(b))
		} else {
			samples = append(samples, audio.DecodeULaw(b))
		}
	}
	return samples
}

// tap gives the recorder a packet that comes now.
func (r *Recorder) tap(side media.Side, kind media.Kind, data []byte) {
	p := media.Tapped{At: time.Now(), Side: side, Kind: kind, Source: addrA, Local: localA, Data: data}
	if side == media.SideB {
		p.Source, p.Local = addrB, localB
	}
	if kind == media.RTCP {
		p.Source = netip.AddrPortFrom(p.Source.Addr(), p.Source.Port()+1)
		p.Local = netip.AddrPortFrom(p.Local.Addr(), p.Local.Port()+1)
	}
	r.Packet(p)
}

// wavFile is a WAV file that was read.
type wavFile struct{ left, right []int16 }

// readWAV reads a WAV file as a player would, by its header.
func readWAV(tb testing.TB, b []byte) (w wavFile) {
	tb.Helper()
	le := binary.LittleEndian
	if len(b) < 44 || string(b[:4]) != "RIFF" || string(b[8:16]) != "WAVEfmt " || string(b[36:40]) != "data" {
		tb.Fatalf("no WAV: % x", b[:min(len(b), 44)])
	}
	if le.Uint16(b[20:]) != 1 || le.Uint16(b[22:]) != 2 || le.Uint32(b[24:]) != 8000 || le.Uint32(b[28:]) != 32000 ||
		le.Uint16(b[32:]) != 4 || le.Uint16(b[34:]) != 16 {
		tb.Fatalf("not 16-bit PCM stereo at 8 kHz: % x", b[:44])
	}
	data := int(le.Uint32(b[40:]))
	if int(le.Uint32(b[4:])) != data+36 || 44+data > len(b) || data%4 != 0 {
		tb.Fatalf("the header says %d and %d bytes, the file has %d", le.Uint32(b[4:]), data, len(b))
	}
	for i := 44; i < 44+data; i += 4 {
		w.left = append(w.left, int16(le.Uint16(b[i:])))
		w.right = append(w.right, int16(le.Uint16(b[i+2:])))
	}
	return w
}

func fileOf(tb testing.TB, a *Archive, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join(a.cfg.Dir, name))
	must(tb, err)
	return b
}

// tree is every file of an archive but its lock.
func tree(tb testing.TB, a *Archive) (names []string) {
	tb.Helper()
	err := fs.WalkDir(os.DirFS(a.cfg.Dir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && name != ".lock" {
			names = append(names, name)
		}
		return err
	})
	must(tb, err)
	return names
}

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
