//go:build e2e

package e2e

import (
	"bytes"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/store/record"
)

// passage is what came of something that was said, in packets of 20 ms: each that
// is heard has to be one that was said, to the sample. When each was sent, and
// whether the one who listened kept all of them, is up to the machine and its
// sound device; what the B2BUA lost is in its record.
type passage struct {
	known    int // packets that are heard and were said
	unknown  int // heard, but not said
	backward int // heard after a later one, or once more
	missing  int // said between the first and the last one that is heard, but not heard
}

// compare looks for packets of G.711 among the ones that were said. Silence, which is
// what a sender has when it has nothing, is left out.
func compare(said, heard []byte) (p passage) {
	at := map[string]int{}
	for i := 0; i+frame <= len(said); i += frame {
		at[string(oneZero(said[i:i+frame]))] = i / frame
	}
	first, last := -1, -1
	for i := 0; i+frame <= len(heard); i += frame {
		packet := oneZero(heard[i : i+frame])
		if silent(packet) {
			continue
		}
		switch n, ok := at[string(packet)]; {
		case !ok:
			p.unknown++
		case n <= last:
			p.backward++
		default:
			if first < 0 {
				first = n
			}
			p.known, last = p.known+1, n
		}
	}
	for i := first; i >= 0 && i < last; i++ {
		if !silent(said[i*frame : (i+1)*frame]) {
			p.missing++
		}
	}
	p.missing -= max(p.known-1, 0)
	return p
}

// silent reports whether a packet has nothing but silence.
func silent(packet []byte) bool {
	return bytes.Count(oneZero(packet), []byte{audio.ULaw.Silence()}) == len(packet)
}

// oneZero writes both codes of µ-law's zero, which are one sample, as one.
func oneZero(codes []byte) []byte {
	return bytes.ReplaceAll(codes, []byte{0x7f}, []byte{audio.ULaw.Silence()})
}

// payloads are what the RTP packets that were heard carry.
func (p *phone) payloads() []byte {
	var all []byte
	for _, a := range p.heard() {
		all = append(all, a.data[12:]...)
	}
	return all
}

// quickest is the shortest time after which something that the phone has said in
// one go came back; negative: nothing did.
func (p *phone) quickest(said []byte) time.Duration {
	sent := map[string]time.Time{}
	for i, at := range p.said {
		sent[string(said[i*frame:(i+1)*frame])] = at
	}
	shortest := time.Duration(-1)
	for _, a := range p.heard() {
		if at, ok := sent[string(a.data[12:])]; ok && (shortest < 0 || a.at.Sub(at) < shortest) {
			shortest = a.at.Sub(at)
		}
	}
	return shortest
}

// isHeard checks that what was said is heard, for so many packets at least.
func isHeard(t *testing.T, what string, said, heard []byte, least int) {
	t.Helper()
	p := compare(said, heard)
	if p.unknown+p.backward != 0 || p.known < least {
		t.Errorf("%s: %+v; want at least %d packets, and none that was not said", what, p, least)
	}
}

// relayed checks that all that came from either side went to the other one.
func relayed(t *testing.T, r record.Record) {
	t.Helper()
	if a, b := r.Media.A, r.Media.B; a.Rx != b.Tx || b.Rx != a.Tx || a.Lost+b.Lost != 0 || min(a.Rx, b.Rx) < 100 {
		t.Errorf("not all packets were relayed, or fewer than 100 came from a side: %+v", r.Media)
	}
}
