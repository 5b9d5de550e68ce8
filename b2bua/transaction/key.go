package transaction

import (
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// Key identifies a server transaction (RFC 3261 section 17.2.3) and its sender: a Via
// can be copied or guessed, and then the request, ACK or CANCEL of one sender would count
// as that of another.
type Key struct {
	branch string // with more, where it lacks the cookie
	host   string // sent-by, in lower case
	port   uint16
	source netip.Addr
	method sip.RequestMethod // that of an ACK is INVITE
}

// KeyOf gives the key of a request that came from source. Without Via, From, Call-ID or
// CSeq it has none.
func KeyOf(req *sip.Request, source netip.Addr) (key Key, ok bool) {
	via, from, id, cseq := req.Via(), req.From(), req.CallID(), req.CSeq()
	if via == nil || from == nil || id == nil || cseq == nil {
		return key, false
	}
	key = Key{branch: message.BranchOf(req), host: strings.ToLower(via.Host), port: uint16(via.Port), source: source, method: req.Method}
	if key.port == 0 {
		key.port = message.DefaultPort(strings.ToLower(via.Transport))
	}
	if key.method == sip.ACK {
		key.method = sip.INVITE
	}
	if !hasCookie(key.branch) { // RFC 2543: no two requests need have different branches
		key.branch = strings.Join([]string{key.branch, message.TagOf(from.Params), id.Value(), strconv.Itoa(int(cseq.SeqNo))}, " ")
	}
	return key, true
}

func hasCookie(branch string) bool {
	return strings.HasPrefix(branch, sip.RFC3261BranchMagicCookie) && len(branch) > len(sip.RFC3261BranchMagicCookie)
}

// twin is the key of an INVITE's CANCEL, or of a CANCEL's INVITE (section 9.2).
func (k Key) twin() Key {
	if k.method == sip.INVITE {
		k.method = sip.CANCEL
	} else {
		k.method = sip.INVITE
	}
	return k
}

// clientKey identifies a client transaction (section 17.1.3).
type clientKey struct {
	branch string
	method sip.RequestMethod
}
