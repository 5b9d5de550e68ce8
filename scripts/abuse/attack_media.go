package main

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"flowbridge/scripts/internal/sip"
)

// victimBytes is what an address that never asked may get: a second of G.711.
const victimBytes = 8600

// victim forges one INVITE of a trunk whose session description names somebody else.
// The trunk's address is this machine's, but nothing that comes back is read: the real
// trunk would not know what to say. It does so with early media, and with a call that
// is answered and never acknowledged.
func victim(b *bench) ([]*row, error) {
	s, err := b.start(options{ringing: "session-progress"})
	if err != nil {
		return nil, err
	}
	defer s.stop()
	count := &tally{}
	forger, err := newPeer(carrierAddr, 5060, count, func(*peer, sip.Message) {})
	if err != nil {
		return nil, err
	}
	defer forger.close()
	var rows []*row
	var victims []*peer
	began := time.Now()
	for i, c := range []struct {
		name    string
		digit   int
		contact bool
	}{
		{"victim: early media", ringing, false}, {"victim: answered, no ACK", answered, false}, {"victim: in Contact, answered, no ACK", answered, true},
	} {
		hears := &tally{}
		v, err := newPeer(victimAddr, uint16(20000+10*i), hears, func(*peer, sip.Message) {})
		if err != nil {
			return nil, err
		}
		defer v.close()
		control, err := newPeer(victimAddr, uint16(20001+10*i), hears, func(*peer, sip.Message) {})
		if err != nil {
			return nil, err
		}
		defer control.close()
		text := newIDs(newNumber(c.digit)).request("INVITE", forger.addr, "", sip.Description(v.addr))
		if c.contact {
			text = strings.Replace(text, "Contact: <sip:"+forger.addr.String(), "Contact: <sip:"+v.addr.String(), 1)
			text = strings.Replace(text, sip.Description(v.addr), sip.Description(netip.AddrPortFrom(carrierAddr, 20000)), 1)
			text = strings.Replace(text, fmt.Sprintf("Content-Length: %d", len(sip.Description(v.addr))), fmt.Sprintf("Content-Length: %d", len(sip.Description(netip.AddrPortFrom(carrierAddr, 20000)))), 1)
		}
		forger.send(text)
		rows = append(rows, &row{Attack: c.name, Requests: 1, BytesIn: int64(len(text))})
		victims = append(victims, v, control)
	}
	time.Sleep(time.Duration(max(b.seconds, victimSeconds)) * time.Second)
	for i, r := range rows {
		v, control := victims[2*i], victims[2*i+1]
		r.Seconds = time.Since(began).Round(time.Second).Seconds()
		r.BytesOut = v.media.Load() + control.media.Load() + v.count.bytesOut.Load()
		r.Answers = v.count.answers.Load()
		r.Ratio = float64(r.BytesOut) / float64(r.BytesIn)
		r.Found = fmt.Sprintf("the victim got %d bytes", r.BytesOut)
		r.must(r.BytesOut <= victimBytes, "more than %d bytes", victimBytes)
	}
	return rows, nil
}

// victimSeconds is longer than Flowbridge waits for an ACK.
const victimSeconds = 40
