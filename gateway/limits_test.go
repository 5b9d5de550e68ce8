package gateway

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/gateway/dialog"
)

func TestMain(m *testing.M) {
	sip.UDPMTUSize = 65535 // as in the process of the B2BUA
	os.Exit(m.Run())
}

// maxHeader is the longest header that the B2BUA takes, in bytes.
const maxHeader = 4096

// TestLongContact: a call whose Contact the B2BUA would drop is refused before its bot hears of it, so that the next
// target is tried. The longest one that is taken stays below the limit after a change of its audio. A & takes one byte.
func TestLongContact(t *testing.T) {
	g := newGateway(t)
	p, b := newPeer(t, g), newTestBot(t, nil)
	short, long := 0, 8000 // lengths of queries that are taken, and refused
	var last string
	for long-short > 1 {
		n := (short + long) / 2
		d, code := p.call(deadline(t), b.at()+"/?"+strings.Repeat("&", n))
		switch code {
		case 200:
			short = n
			last = sip.HeaderClone(d.InviteResponse.Contact()).String()
			if err := d.Bye(deadline(t)); err != nil {
				t.Error(err)
			}
		case 500:
			long = n
		default:
			t.Fatalf("%d bytes: got %d", n, code)
		}
	}
	if short < 2000 {
		t.Errorf("a query of %d bytes is refused", long)
	}
	if len(last) > maxHeader-32 {
		t.Errorf("a Contact of %d bytes", len(last))
	}
	eventually(t, "no call is left", func() bool { return g.Calls() == 0 })
	eventually(t, "the bot has the start and stop of each call that was taken", func() bool {
		starts, stops := len(b.events("start")), len(b.events("stop"))
		return starts == stops && uint64(starts)+g.Figures().Refused == 13
	})
}

// TestLongParameters: the most parameters that an order may have fit into a Contact with a long URL.
func TestLongParameters(t *testing.T) {
	g, err := Open(Options{Key: [32]byte{7}, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer g.Close()
	parameters := json.RawMessage(`{"a":"` + strings.Repeat("<", maxParameters-len(`{"a":""}`)) + `"}`)
	if _, _, err := g.Order(Request{Parameters: parameters}); err != nil {
		t.Error(err)
	}
	d := sealed{
		Dialog: dialog.Dialog{
			CallID: strings.Repeat("c", 40), LocalTag: newTag(), RemoteTag: strings.Repeat("t", 40),
			Local: "sip:" + newSID("") + "@127.0.0.1:65535", Remote: "sip:+4930123456789@192.168.100.100:65535",
			Target: "sip:flowbridge@192.168.100.100:65535",
		},
		At: "192.168.100.100:65535", CallSID: ids.call,
		URL: "wss://" + strings.Repeat("u", 250), Parameters: parameters, Law: 8, Event: 101,
	}
	if err := g.fits(&d); err != nil {
		t.Error(err)
	}
}
