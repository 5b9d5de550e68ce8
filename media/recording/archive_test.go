package recording

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/media"
)

// sample records two seconds and gives the content of both files.
func sample(t *testing.T) (wav, capture []byte) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		r := begun(t, a, 1)
		for n := range 100 {
			r.tap(media.SideA, media.RTP, speech(0, 1, n))
			time.Sleep(20 * time.Millisecond)
		}
		r.Stop()
		<-r.Done()
		wav, capture = fileOf(t, a, r.Files()[0].Name), fileOf(t, a, r.Files()[1].Name)
		a.shut(t)
	})
	return wav, capture
}

// TestLeftovers: files of a killed process are finished by the next one, wherever
// they break off. Nothing else is touched.
func TestLeftovers(t *testing.T) {
	wav, capture := sample(t)
	dir := t.TempDir()
	day := filepath.Join(dir, "2026/11/20")
	must(t, os.MkdirAll(day, 0o700))
	put := func(name string, b []byte) {
		t.Helper()
		must(t, os.WriteFile(filepath.Join(day, name), b, 0o600))
	}
	stale := slices.Clone(wav) // its header was last written a while ago
	copy(stale, wavHeader(2, 32000))
	for cut := 0; cut < len(wav); cut += 997 {
		put(callID+".wav.part", stale[:len(stale)-cut])
		put(callID+".pcapng.part", capture[:max(0, len(capture)-cut)])
		put("notes.part", []byte("mine"))
		a := opened(t, func(c *Config) { c.Dir = dir })
		a.shut(t)
		names := tree(t, a)
		if !slices.Contains(names, "2026/11/20/notes.part") {
			t.Fatalf("there are %v", names)
		}
		if slices.Contains(names, "2026/11/20/"+callID+".wav") != (len(wav)-cut >= 48) {
			t.Errorf("cut by %d: there are %v", cut, names)
		}
		for _, name := range names {
			switch filepath.Ext(name) {
			case ".wav":
				if w := readWAV(t, fileOf(t, a, name)); len(w.left) != (len(wav)-cut-44)/4 {
					t.Errorf("cut by %d: %d frames", cut, len(w.left))
				}
			case ".pcapng":
				readPcapng(t, fileOf(t, a, name))
			}
			if name != "2026/11/20/notes.part" {
				must(t, os.Remove(filepath.Join(dir, name)))
			}
		}
	}
}

// TestLeftoverEnds: a file that is finished later has ended when it was last
// written.
func TestLeftoverEnds(t *testing.T) {
	wav, capture := sample(t)
	dir := t.TempDir()
	name := "2026/11/20/" + callID
	must(t, os.MkdirAll(filepath.Join(dir, "2026/11/20"), 0o700))
	killed := time.Date(2026, 11, 20, 8, 0, 0, 0, time.UTC)
	for suffix, b := range map[string][]byte{".wav": wav[:len(wav)-6], ".pcapng": capture[:len(capture)-6], "-2.wav": wav[:44]} {
		file := filepath.Join(dir, name+suffix+partSuffix)
		must(t, os.WriteFile(file, b, 0o600))
		must(t, os.Chtimes(file, killed, killed))
	}
	a := opened(t, func(c *Config) { c.Dir, c.Keep = dir, 1e6*time.Hour })
	defer a.shut(t)
	for _, suffix := range []string{".wav", ".pcapng"} {
		size, ended, err := a.Finished(name + suffix)
		if err != nil || size != int64(len(fileOf(t, a, name+suffix))) || !ended.Equal(killed) {
			t.Errorf("%s: %d bytes, ended %v, %v", suffix, size, ended, err)
		}
	}
	if _, _, err := a.Finished(name + "-2.wav"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a sample: %v", err)
	}
}

// TestHeaderGrows: the header of a WAV that is being written is right every few
// seconds, for who looks into the file of a process that was killed.
func TestHeaderGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		r := begun(t, a, 1)
		time.Sleep(30 * time.Second)
		b := fileOf(t, a, r.Files()[0].Name+partSuffix)
		if w := readWAV(t, b); len(w.left) < 20*sampleRate {
			t.Errorf("after 30 s the header says %d frames", len(w.left))
		}
		a.shut(t)
		if w := readWAV(t, fileOf(t, a, r.Files()[0].Name)); len(w.left) != 30*sampleRate {
			t.Errorf("closed after 30 s: %d frames", len(w.left))
		}
	})
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		now := time.Now().UTC() // the year 2000
		put := func(name string, age time.Duration) string {
			t.Helper()
			full := filepath.Join(dir, name)
			must(t, os.MkdirAll(filepath.Dir(full), 0o700))
			must(t, os.WriteFile(full, []byte("x"), 0o600))
			must(t, os.Chtimes(full, time.Time{}, now.Add(-age)))
			return name
		}
		put("1999/02/03/"+callID+".wav", 25*time.Hour)
		put("1999/02/03/"+callID+"-2.pcapng", 25*time.Hour)
		put("1999/03/04/"+callID+".wav", 25*time.Hour)
		young := put("1999/03/04/"+callID+"-2.wav", 23*time.Hour)
		letters := []string{put("1999/03/05/letter.txt", 1000*time.Hour), put("letter.wav", 1000*time.Hour)}
		a := opened(t, func(c *Config) { c.Dir = dir })
		defer a.shut(t)
		synctest.Wait()
		if names := tree(t, a); !slices.Equal(names, append([]string{young}, letters...)) {
			t.Errorf("there are %v", names)
		}
		if _, err := os.Stat(filepath.Join(dir, "1999/02")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the empty directories of a month: %v; want none", err)
		}
		time.Sleep(2 * time.Hour) // it looks every hour
		synctest.Wait()
		if names := tree(t, a); !slices.Equal(names, letters) {
			t.Errorf("two hours later there are %v", names)
		}
	})
}

// TestHeldAndRemoved: the files of a call under a legal hold outlive their age, also while that can't be read. Remove
// removes nothing but recordings.
func TestHeldAndRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		name := "1999/02/03/" + callID + "-2.wav"
		var unread atomic.Bool
		a := opened(t, func(c *Config) {
			must(t, os.MkdirAll(filepath.Join(c.Dir, "1999/02/03"), 0o700))
			for _, file := range []string{name, "1999/02/03/letter.txt"} {
				must(t, os.WriteFile(filepath.Join(c.Dir, file), nil, 0o600))
				must(t, os.Chtimes(filepath.Join(c.Dir, file), time.Time{}, time.Now().Add(-1000*time.Hour)))
			}
			c.Held = func() ([]string, error) {
				if unread.Load() {
					return nil, fs.ErrInvalid
				}
				return []string{callID}, nil
			}
		})
		defer a.shut(t)
		for range 2 {
			time.Sleep(2 * time.Hour) // it looks every hour
			synctest.Wait()
			if names := tree(t, a); !slices.Contains(names, name) {
				t.Fatalf("held, there are %v", names)
			}
			unread.Store(true)
		}
		for file, want := range map[string]bool{name: true, "1999/02/03/letter.txt": false, "../x": false, "": false} {
			if was, err := a.Remove(file); was != want || err != nil {
				t.Errorf("%s removed: %v, %v", file, was, err)
			}
		}
		if was, err := a.Remove(name); was || err != nil {
			t.Errorf("removed twice: %v, %v", was, err)
		}
	})
}

func TestOneProcessAtATime(t *testing.T) {
	a := opened(t, nil)
	if _, err := Open(a.cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("opened twice: %v", err)
	}
	a.shut(t)
	b, err := Open(a.cfg)
	must(t, err)
	b.shut(t)
}

func TestDirectoryThatCannotBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	if _, err := Open(Config{Dir: filepath.Join(file, "recordings")}); err == nil {
		t.Error("it was opened")
	}
}

// TestOpenFile: only finished recordings are opened.
func TestOpenFile(t *testing.T) {
	var day string
	a := opened(t, func(c *Config) { // before the archive, which removes empty directories
		day = filepath.Join(c.Dir, "2026/11/20")
		must(t, os.MkdirAll(filepath.Join(day, callID+"-3.wav", "kept"), 0o700))
	})
	defer a.shut(t)
	outside := filepath.Join(t.TempDir(), callID+".wav")
	for _, name := range []string{outside, day + "/" + callID + ".wav", day + "/" + callID + ".wav.part", day + "/x.wav"} {
		must(t, os.WriteFile(name, []byte("secret"), 0o600))
	}
	must(t, os.Symlink(outside, day+"/"+callID+"-2.wav"))
	for _, name := range []string{
		"", ".", "..", ".lock", "2026/11/20", "2026/11/20/", "2026/11/20/x.wav", "2026/11/20/" + callID + ".wav.part",
		"../" + callID + ".wav", "2026/11/20/../20/" + callID + ".wav", "/2026/11/20/" + callID + ".wav", outside,
		"2026/11/20/" + callID + "-2.wav", "2026/11/20/" + callID + "-3.wav", "2026/11/20/" + callID + ".pcapng",
		"2026/11/20/" + callID + ".wav\n", "2026/11/20/" + callID + ".wav\x00",
	} {
		if f, err := a.OpenFile(name); err == nil {
			t.Errorf("%q was opened", name)
			f.Close()
		}
	}
	f, err := a.OpenFile("2026/11/20/" + callID + ".wav")
	must(t, err)
	f.Close()
}

// FuzzRepairPcapng: whatever is in a file, what is left of it are whole blocks.
func FuzzRepairPcapng(f *testing.F) {
	block := func(kind, size uint32, more int) []byte {
		b := binary.LittleEndian.AppendUint32(nil, kind)
		b = binary.LittleEndian.AppendUint32(b, size)
		return append(b, make([]byte, more)...)
	}
	whole := slices.Concat(block(sectionHeader, 12, 4), block(1, 12, 4), block(6, 16, 8))
	f.Add(whole)
	f.Add(append(whole, block(6, 16, 4)...))
	f.Add(append(whole, block(6, 0, 100)...))
	f.Add(append(whole, block(6, 1<<31, 100)...))
	f.Fuzz(func(t *testing.T, b []byte) {
		name := filepath.Join(t.TempDir(), "capture")
		must(t, os.WriteFile(name, b, 0o600))
		file, err := os.OpenFile(name, os.O_RDWR, 0)
		must(t, err)
		defer file.Close()
		usable, err := repairPcapng(file)
		must(t, err)
		rest, err := os.ReadFile(name)
		must(t, err)
		if !usable {
			return
		}
		blocks := 0
		for ; len(rest) > 0; blocks++ {
			size := binary.LittleEndian.Uint32(rest[4:])
			if size < 12 || int(size) > len(rest) {
				t.Fatalf("block %d has %d of %d bytes", blocks, size, len(rest))
			}
			rest = rest[size:]
		}
		if blocks < 3 {
			t.Errorf("%d blocks are usable", blocks)
		}
	})
}

// FuzzDatagram: what a capture gets is a datagram whose lengths and checksums fit.
func FuzzDatagram(f *testing.F) {
	f.Add([]byte("x"), true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, v6 bool) {
		if len(data) > MaxDatagram {
			return
		}
		from, to, size := addrA, localA, ipv4Header
		if v6 {
			from, to, size = addrB, localB, ipv6Header
		}
		b := AppendDatagram([]byte("before"), 7, from, to, data)[6:]
		if len(b) != size+udpHeader+len(data) {
			t.Fatalf("%d bytes", len(b))
		}
		src, dst := from.Addr().AsSlice(), to.Addr().AsSlice()
		udp := b[size:]
		if fold(sum(udp, sum(src, sum(dst, uint32(17+len(udp)))))) != 0xffff {
			t.Error("the checksum of UDP is wrong")
		}
		if !v6 && fold(sum(b[:size], 0)) != 0xffff {
			t.Error("the checksum of IP is wrong")
		}
	})
}

// BenchmarkWriting measures what a packet costs a writer: two sides of G.711, to
// WAV and pcapng, plain and encrypted.
func BenchmarkWriting(b *testing.B) {
	for _, formats := range [][]string{{FormatWAV}, {FormatPcapng}, {FormatWAV, sealedSuffix}, {FormatPcapng, sealedSuffix}} {
		b.Run(strings.Join(formats, ""), func(b *testing.B) {
			a := opened(b, func(c *Config) {
				if c.Formats = formats[:1]; len(formats) > 1 {
					encrypted(b, c)
				}
			})
			defer a.shut(b)
			r := &Recorder{
				intake: intake{began: time.Now(), ring: newRing(ringSize)},
				call:   Call{ID: callID, Part: 1}, done: make(chan struct{}), w: a.writers[0],
				files: []File{{Name: fileName(time.Now(), callID, 1, formats[0]), Format: formats[0]}},
			}
			for side := range r.payloads {
				p := g711()
				r.payloads[side].Store(&p)
			}
			a.open(r)
			n := 0
			for b.Loop() {
				at := r.began.Add(time.Duration(n/2) * 20 * time.Millisecond)
				side := media.Side(n & 1)
				r.Packet(media.Tapped{At: at, Side: side, Source: addrA, Local: localA, Data: speech(0, uint32(side), n/2)})
				r.drain(nil)
				n++
			}
			b.ReportMetric(float64(r.outputs[0].sink.size)/float64(n), "B/packet")
			_ = a.closeOutput(r.outputs[0])
		})
	}
}

// TestLostByKill: what a file lacks of the present, at any time, is no more than
// docs/operations.md says that a kill costs. The files are read while no writer writes, at the end of each of their
// states: a block that a kill cuts in two is what TestLeftovers and FuzzRepairPcapng are about.
func TestLostByKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := opened(t, nil)
		defer a.shut(t)
		r := begun(t, a, 1)
		for n := range 500 {
			r.tap(media.SideA, media.RTP, speech(0, 1, n))
			synctest.Wait() // for the writer, whose tick may be at this moment
			next := time.Duration(n+1) * 20 * time.Millisecond
			if next >= 3*time.Second {
				lacksLittle(t, a, r, next)
			}
			time.Sleep(20 * time.Millisecond)
		}
	})
}

// lacksLittle checks what the files of a recording lack at a time until which they stay as they are.
func lacksLittle(t *testing.T, a *Archive, r *Recorder, until time.Duration) {
	t.Helper()
	wav := fileOf(t, a, r.Files()[0].Name+partSuffix)
	if has := time.Duration(len(wav)-wavHeaderSize) * time.Second / wavBatch; until-has > 2200*time.Millisecond {
		t.Fatalf("at %v the WAV has %v", until, has)
	}
	capture := readPcapng(t, fileOf(t, a, r.Files()[1].Name+partSuffix))
	if has := time.Duration(len(capture)) * 20 * time.Millisecond; until-has > 1200*time.Millisecond {
		t.Fatalf("at %v the capture has %v", until, has)
	}
}
