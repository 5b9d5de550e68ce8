//go:build e2e

package e2e

import (
	"encoding/binary"
	"fmt"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// startOpusPhone runs a softphone whose only codec is Opus.
func (s *stage) startOpusPhone(number string, at netip.AddrPort, words []int16) *baresip {
	s.Helper()
	account := fmt.Sprintf("\"Opus Phone\" <sip:%s@%s>;regint=0;answermode=auto;audio_codecs=opus/48000/2\n", number, at)
	p := s.softphone(s.TempDir(), nil, account, at, words, "module opus.so", "opus_inbandfec yes")
	must(s, os.WriteFile(filepath.Join(p.dir, "words.wav"), fullband(words), 0o600))
	return p
}

// fullband returns a file with the same audio in stereo at 48 kHz, which this softphone needs for Opus.
func fullband(words []int16) []byte {
	words = words[:min(len(words), 20*8000)]
	samples := make([]int16, 0, 12*len(words))
	for i, v := range words {
		next := int(words[min(i+1, len(words)-1)])
		for k := range 6 {
			between := int16(int(v) + (next-int(v))*k/6)
			samples = append(samples, between, between)
		}
	}
	b := wav(samples)
	b[22], b[32] = 2, 4
	binary.LittleEndian.PutUint32(b[24:], 48000)
	binary.LittleEndian.PutUint32(b[28:], 4*48000)
	return b
}

// TestOpusToG711 lets a softphone with only Opus call one with only PCMU, then the reverse, and then one with Opus. In
// each call both must hear each other's words, and the record must have the sides' codecs and how long they were used.
func TestOpusToG711(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, target, codec string
		caller, agent       bool // which of them has Opus
	}{
		{"a caller with Opus", "", "opus", true, false},
		{"an agent with Opus", ", codecs: [opus]", "PCMU", false, true},
		{"both with Opus", ", codecs: [opus]", "opus", true, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newPreparedStage(t)
			b := s.serve(setup{trunk: fromLoopback, target: fromLoopback + tt.target})
			hers, his := softWords(51), softWords(52)
			at := s.freePort(s.carrier)
			phones := map[bool]func(string, netip.AddrPort, []int16) *baresip{
				true: s.startOpusPhone,
				false: func(number string, at netip.AddrPort, words []int16) *baresip {
					return s.startBaresipAs(number, at, words)
				},
			}
			callee := phones[tt.agent](called, s.agent, his)
			phone := phones[tt.caller](caller, at, hers)
			phone.calls(s.to())
			eventually(t, "the agent hears the caller's words", func() bool { return alike(levels(hers, 8000, 1), envelope(t, callee)) })
			eventually(t, "the caller hears the agent's words", func() bool { return alike(levels(his, 8000, 1), envelope(t, phone)) })
			phone.hangUp()
			callee.command("quit", "")
			callee.exit()
			r := b.finish(hungUpByCaller)[0]
			if !strings.EqualFold(r.Codec, tt.codec) || r.Media.A.Rx < 250 || r.Media.B.Rx < 250 || r.Media.A.Tx < 250 || r.Media.B.Tx < 250 {
				t.Errorf("codec %s, media %+v", r.Codec, r.Media)
			}
			if r.Talk == nil || r.Talk.Caller == nil || r.Talk.Caller.SpokeMS < 1000 || r.Talk.Agent.SpokeMS < 1000 {
				t.Errorf("talk %+v", r.Talk)
			}
		})
	}
}

// envelope returns the loudness of each 20 ms that a softphone has heard, at whatever rate it recorded them.
func envelope(t *testing.T, p *baresip) []float64 {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(p.dir, "dump-*-dec.wav"))
	must(t, err)
	var all []float64
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil || len(b) < wavHeader {
			continue
		}
		channels, rate := int(binary.LittleEndian.Uint16(b[22:])), int(binary.LittleEndian.Uint32(b[24:]))
		var samples []int16
		for i := wavHeader; i+1 < len(b); i += 2 {
			samples = append(samples, int16(binary.LittleEndian.Uint16(b[i:])))
		}
		all = append(all, levels(samples, rate, channels)...)
	}
	return all
}

// levels returns the level of each 20 ms of samples, in dB above a minimum.
func levels(samples []int16, rate, channels int) (all []float64) {
	for n := rate / 50 * channels; n > 0 && len(samples) >= n; samples = samples[n:] {
		sum := 0.0
		for _, v := range samples[:n] {
			sum += float64(v) * float64(v)
		}
		all = append(all, max(20*math.Log10(math.Sqrt(sum/float64(n))+1), 30))
	}
	return all
}

// alike reports whether the heard audio matches what was said: for five seconds, their levels correlate at some delay.
// A softphone that gets no processor time plays silence, so the five seconds may come late.
func alike(said, heard []float64) bool {
	const length = 250
	for from := 0; from+length <= len(heard); from += 25 {
		for at := 0; at+length <= min(len(said), len(heard)+100); at++ {
			if together(said[at:at+length], heard[from:from+length]) >= 0.9 {
				return true
			}
		}
	}
	return false
}

// together returns the correlation of two series.
func together(a, b []float64) float64 {
	var ma, mb float64
	for i := range a {
		ma, mb = ma+a[i]/float64(len(a)), mb+b[i]/float64(len(b))
	}
	var ab, aa, bb float64
	for i := range a {
		ab, aa, bb = ab+(a[i]-ma)*(b[i]-mb), aa+(a[i]-ma)*(a[i]-ma), bb+(b[i]-mb)*(b[i]-mb)
	}
	return ab / math.Sqrt(aa*bb+1e-9)
}
