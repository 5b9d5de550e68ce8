package transaction

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

const keyed = "INVITE sip:a@h SIP/2.0\r\nVia: SIP/2.0/UDP pbx.Example:5070;branch=z9hG4bKx\r\n" +
	"From: <sip:b@h>;tag=b\r\nTo: <sip:a@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"

// keyIn returns the key of a request, or false if the request has none.
func keyIn(text string, source netip.Addr) (Key, bool) {
	msg, err := message.Parse([]byte(text))
	if err != nil {
		return Key{}, false
	}
	req, ok := msg.(*sip.Request)
	if !ok {
		return Key{}, false
	}
	return KeyOf(req, source, false)
}

// RFC 3261 section 17.2.3: a request is identified by branch, sent-by and method, and here
// also by the sender's address. Without the magic cookie, From, Call-ID and CSeq count as
// well.
func TestKeyOf(t *testing.T) {
	old := strings.Replace(keyed, "z9hG4bKx", "1", 1)
	for name, tt := range map[string]struct {
		in       string
		old, new string
		source   string
		same     bool
	}{
		"a copy":                       {in: keyed, same: true},
		"another branch":               {in: keyed, old: "z9hG4bKx", new: "z9hG4bKy"},
		"another host":                 {in: keyed, old: "pbx.Example", new: "pbx2.example"},
		"the host in other letters":    {in: keyed, old: "pbx.Example", new: "PBX.example", same: true},
		"another port":                 {in: keyed, old: ":5070", new: ":5071"},
		"no port":                      {in: keyed, old: ":5070", new: ""},
		"another sender":               {in: keyed, source: "192.0.2.11"},
		"another Call-ID":              {in: keyed, old: "Call-ID: c", new: "Call-ID: d", same: true},
		"ACK":                          {in: keyed, old: "INVITE", new: "ACK", same: true},
		"CANCEL":                       {in: keyed, old: "INVITE", new: "CANCEL"},
		"no cookie":                    {in: old, same: true},
		"no cookie, another Call-ID":   {in: old, old: "Call-ID: c", new: "Call-ID: d"},
		"no cookie, another From tag":  {in: old, old: "tag=b", new: "tag=e"},
		"no cookie, another CSeq":      {in: old, old: "CSeq: 1", new: "CSeq: 2"},
		"no cookie, ACK":               {in: old, old: "INVITE", new: "ACK", same: true},
		"a branch of the cookie alone": {in: strings.Replace(keyed, "z9hG4bKx", "z9hG4bK", 1), old: "Call-ID: c", new: "Call-ID: d"},
	} {
		source := netip.MustParseAddr("192.0.2.10")
		first, ok := keyIn(tt.in, source)
		if tt.source != "" {
			source = netip.MustParseAddr(tt.source)
		}
		second, also := keyIn(strings.ReplaceAll(tt.in, tt.old, tt.new), source)
		if tt.old == "" {
			second, also = keyIn(tt.in, source)
		}
		if !ok || !also {
			t.Fatalf("%s: no key", name)
		}
		if (first == second) != tt.same {
			t.Errorf("%s: %+v and %+v", name, first, second)
		}
	}
	datagram, _ := keyIn(keyed, peer.Addr())
	stream := datagram
	stream.stream = true
	if msg, err := message.Parse([]byte(keyed)); err != nil {
		t.Error(err)
	} else if req, ok := msg.(*sip.Request); ok {
		if got, ok := KeyOf(req, peer.Addr(), true); !ok || got != stream {
			t.Errorf("over a connection: %+v", got)
		}
	}
	for _, missing := range []string{"Via", "From", "Call-ID", "CSeq"} {
		if key, ok := keyIn(strings.Replace(keyed, missing+": ", "X: ", 1), peer.Addr()); ok {
			t.Errorf("without %s: %+v", missing, key)
		}
	}
}

// FuzzKey checks that a message keeps its key when it is written and parsed again, and
// that an INVITE and its CANCEL find each other.
func FuzzKey(f *testing.F) {
	f.Add(keyed)
	f.Add(strings.Replace(keyed, "z9hG4bKx", "1", 1))
	f.Add(strings.Replace(keyed, "branch", "rport;BRANCH", 1))
	f.Add(strings.ReplaceAll(keyed, "INVITE", "CANCEL"))
	f.Add(strings.Replace(keyed, "pbx.Example:5070", "[2001:db8::1]", 1))
	f.Fuzz(func(t *testing.T, text string) {
		msg, err := message.Parse([]byte(text))
		req, ok := msg.(*sip.Request)
		if err != nil || !ok {
			return
		}
		key, ok := KeyOf(req, peer.Addr(), false)
		if !ok {
			return
		}
		if again, _ := keyIn(text, peer.Addr()); again != key {
			t.Errorf("%+v, then %+v", key, again)
		}
		if key.method == sip.INVITE || key.method == sip.CANCEL {
			for i, twin := range key.twins() {
				if twin == key || twin.twins()[i] != key {
					t.Errorf("%+v and its twin %+v", key, twin)
				}
			}
		}
	})
}
