//go:build e2e

package e2e

import (
	"bytes"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/store/record"
)

// passage compares received audio with the audio that was sent, in packets of 20 ms. Each received
// packet must equal a sent one, to the sample. When a packet was sent, and whether the receiver
// kept all of them, depends on the machine and its sound device. The B2BUA's losses are in its
// record.
type passage struct {
	known    int // received packets that were sent
	unknown  int // received packets that were not sent
	backward int // packets received after a later one, or twice
	missing  int // packets sent between the first and the last received one, but not received
}

// compare looks up received packets of G.711 among the sent ones. Silence is left out, because a
// sender sends it when it has nothing else.
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

// silent reports whether a packet contains only silence.
func silent(packet []byte) bool {
	return bytes.Count(oneZero(packet), []byte{audio.ULaw.Silence()}) == len(packet)
}

// oneZero replaces both codes of µ-law's zero, which are the same sample, by one code.
func oneZero(codes []byte) []byte {
	return bytes.ReplaceAll(codes, []byte{0x7f}, []byte{audio.ULaw.Silence()})
}

// payloads returns the payloads of the RTP packets received.
func (p *phone) payloads() []byte {
	var all []byte
	for _, a := range p.heard() {
		all = append(all, a.data[12:]...)
	}
	return all
}

// quickest returns the shortest time after which something came back that the phone said in one go.
// It is negative if nothing did.
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

// isHeard checks that the received audio is the sent audio, for at least this many packets.
func isHeard(t *testing.T, what string, said, heard []byte, least int) {
	t.Helper()
	p := compare(said, heard)
	if p.unknown+p.backward != 0 || p.known < least {
		t.Errorf("%s: %+v; want at least %d packets, and none that was not said", what, p, least)
	}
}

// relayed checks that all packets from either side were relayed to the other side.
func relayed(t *testing.T, r record.Record) {
	t.Helper()
	if a, b := r.Media.A, r.Media.B; a.Rx != b.Tx || b.Rx != a.Tx || a.Lost+b.Lost != 0 || min(a.Rx, b.Rx) < 100 {
		t.Errorf("not all packets were relayed, or fewer than 100 came from a side: %+v", r.Media)
	}
}
