package media

import (
	"testing"

	"github.com/fxamacker/cbor/v2"
)

// FuzzResume resumes sessions from states that random bytes describe. Resume refuses impossible states, and a
// session that it accepts must carry packets.
func FuzzResume(f *testing.F) {
	e := openEngine(f, nil)
	br := &bridge{a: newClient(f, "127.0.1.1:0"), b: newClient(f, "127.0.2.1:0")}
	br.Session = newSession(f, e, SessionConfig{})
	br.SetPeer(SideA, Peer{RTP: br.a.addr, Codec: "PCMU", ClockRate: 8000})
	br.SetPeer(SideB, Peer{RTP: br.b.addr})
	br.SetPayloads(SideA, []PayloadChange{{From: 0, To: 8, Op: PayloadToALaw}})
	br.SetTelephoneEvents(SideA, TelephoneEvents{On: true, PayloadType: 101})
	must(f, br.SetCrypto(SideB, Crypto{Receive: benchKeys(1), Send: benchKeys(2)}))
	br.Start()
	for seq := range uint16(3) {
		br.a.send(br.Local(SideA), sourcePacket(f, 7, seq))
		br.b.read()
	}
	for _, exact := range []bool{true, false} {
		st := br.State()
		st.Exact = exact
		b, err := cbor.Marshal(&st)
		must(f, err)
		f.Add(b)
	}
	br.Close()
	kill(f, e)
	e = openEngine(f, nil)
	f.Fuzz(func(t *testing.T, b []byte) {
		var st SessionState
		if cbor.Unmarshal(b, &st) != nil {
			return
		}
		used, _ := e.Ports()
		s, err := e.Resume(SessionConfig{}, st)
		if err != nil {
			if now, _ := e.Ports(); now != used {
				t.Errorf("%d ports are used after an error; want %d", now, used)
			}
			return
		}
		for side := range st.Sides {
			for seq := range uint16(4) {
				pkt := sourcePacket(t, 7, seq)
				must(t, s.worker.do(command{op: opSync}))
				c := newClient(t, "127.0.1.1:0")
				c.send(s.Local(Side(side)), pkt)
				_ = c.conn.Close()
			}
		}
		_ = s.State()
		_ = s.worker.do(command{op: opSync})
		s.Close()
	})
}
