package media

import (
	"encoding/binary"
	"testing"
	"time"

	"flowbridge/media/stream"

	"github.com/fxamacker/cbor/v2"
	"pgregory.net/rapid"
)

// lives runs the sealer of one key in one process after another, and records the number of each packet that is
// sent.
type lives struct {
	t    *rapid.T
	keys Keys
	side *relay
	file SessionState // the state that was taken last
	now  time.Duration

	sent map[[2]uint64]bool // by SSRC with kind, and number
	seq  map[uint32]uint16
}

func (l *lives) sealer() *sealer { return l.side.secure[SideB].out }

// state returns a state, as Session.State does, as it is after saving and reading.
func (l *lives) state(exact bool) SessionState {
	st := SessionState{At: l.now, Exact: exact}
	if !exact {
		l.side.noted()
	}
	l.side.state(&st, 0)
	b, err := cbor.Marshal(&st)
	if err != nil {
		l.t.Fatal(err)
	}
	var got SessionState
	if err := cbor.Unmarshal(b, &got); err != nil {
		l.t.Fatal(err)
	}
	return got
}

// resume continues from a state in another process.
func (l *lives) resume(st SessionState) {
	secure, err := st.secure(l.now, 0)
	if err != nil {
		l.t.Fatal(err)
	}
	l.side = newRelay(1, l.side.local, [2]sockets{}, nil)
	l.side.secure = secure
	l.side.resume(&st, stream.Clock{Now: l.now})
}

// seal encrypts a packet and records its number if it is sent.
func (l *lives) seal(pkt []byte, kind Kind) {
	s := l.sealer()
	out, ok := s.seal(make([]byte, 0, 256), pkt, kind)
	if !ok {
		return
	}
	var ssrc uint32
	var index uint64
	if kind == RTP {
		ssrc = binary.BigEndian.Uint32(out[8:])
		roc, _ := s.ctx.ROC(ssrc)
		index = uint64(roc)<<16 | uint64(binary.BigEndian.Uint16(out[2:]))
	} else {
		ssrc = binary.BigEndian.Uint32(out[4:])
		index = uint64(binary.BigEndian.Uint32(out[len(out)-suites[l.keys.Suite].tagRTCP-srtcpIndexLen:]) &^ srtcpEncrypted)
	}
	id := [2]uint64{uint64(ssrc)<<1 | uint64(kind), index}
	if l.sent[id] {
		l.t.Fatalf("number %d of %x is used twice", index, ssrc)
	}
	l.sent[id] = true
}

func packetOf(ssrc uint32, seq uint16) []byte {
	pkt := make([]byte, 20)
	pkt[0] = 0x80
	binary.BigEndian.PutUint16(pkt[2:], seq)
	binary.BigEndian.PutUint32(pkt[8:], ssrc)
	return pkt
}

// A packet that a killed process may have received is not accepted again.
func TestReplaysInTheNextLife(t *testing.T) {
	keys := Keys{Suite: SuiteAESCM128SHA80, Key: make([]byte, SuiteAESCM128SHA80.KeyLen())}
	ctx, err := keys.context()
	if err != nil {
		t.Fatal(err)
	}
	peer := newSealer(keys, ctx)
	var sent [][]byte
	for seq := range uint16(300) {
		out, ok := peer.seal(nil, packetOf(7, seq), RTP)
		if !ok {
			t.Fatal("not sealed")
		}
		sent = append(sent, out)
	}
	st := SessionState{Keys: []keyState{{Side: SideA, Use: keyReceive, Keys: keys, Streams: []numberState{{SSRC: 7, Top: 99, Seen: ^uint64(0)}}}}}
	secure, err := st.secure(0, 0)
	if err != nil {
		t.Fatal(err)
	}
	open := func(i int) fault {
		_, why := secure[SideA].open(make([]byte, 0, 256), sent[i], RTP, 0)
		return why
	}
	for _, i := range []int{99, 50} {
		if open(i) != faultReplayed {
			t.Errorf("packet %d of before the state is taken", i)
		}
	}
	if open(200) != faultNone {
		t.Error("the stream does not go on")
	}
	for _, i := range []int{199, 150, 100} { // the killed process had received these
		if open(i) != faultReplayed {
			t.Errorf("packet %d is taken", i)
		}
	}
	if open(202) != faultNone || open(201) != faultNone {
		t.Error("packets that overtake each other are refused")
	}
}
