package stage

import (
	"reflect"
	"testing"
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/opus"
	"flowbridge/media/packet"
)

// TestOnlyOpusIsDecoded: the ear of a side that may send Opus hears the G.711 that it sends as any other ear does.
func TestOnlyOpusIsDecoded(t *testing.T) {
	hear := func(takes packet.PayloadSet) *ear {
		e := &edges{}
		e.Init(e)
		ready, err := Conversation{Agent: SideB, Opus: [2]packet.PayloadSet{takes, takes}}.Ready()
		if err != nil {
			t.Fatal(err)
		}
		if err := e.Order(SideA, ready, 0); err != nil {
			t.Fatal(err)
		}
		said, payload := twoWords(), make([]byte, opus.Frame)
		for i := range len(said) / opus.Frame {
			audio.ULaw.Encode(payload, said[i*opus.Frame:(i+1)*opus.Frame])
			pkt := rtpOf(0, uint16(i), uint32(i*opus.Frame), payload)
			h, _ := packet.ParseRTP(pkt)
			e.Packet(SideA, &Packet{Header: h, Data: pkt, Now: time.Duration(i) * 20 * time.Millisecond})
		}
		return e.ways[SideA].ear
	}
	plain, both := hear(packet.PayloadSet{}), hear(set(111))
	if plain.told == 0 || both.told != plain.told || !reflect.DeepEqual(both.Detector, plain.Detector) {
		t.Errorf("%d segments of speech; want %d", both.told, plain.told)
	}
}
