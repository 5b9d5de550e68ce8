package gateway

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/emiago/sipgo/sip"
	"github.com/google/uuid"

	"flowbridge/gateway/dialog"
)

// liveDialog is the dialog of a call that is up. It makes the requests within it (RFC 3261 section 12).
type liveDialog struct {
	sealed

	mu   sync.Mutex
	cseq uint32
}

func newTag() string { return strings.ReplaceAll(uuid.NewString(), "-", "")[:16] }

// newDialog returns the dialog of an INVITE whose To has our tag.
func newDialog(req *sip.Request) sealed {
	local, _ := req.To().Params.Get("tag")
	remote, _ := req.From().Params.Get("tag")
	return sealed{At: req.Source(), Dialog: dialog.Dialog{
		CallID: req.CallID().Value(), LocalTag: local, RemoteTag: remote,
		Local: req.To().Address.String(), Remote: req.From().Address.String(),
		Target: req.Contact().Address.String(),
	}}
}

func keyOf(callID, tag string) string { return callID + " " + tag }

func (d *liveDialog) key() string { return keyOf(d.CallID, d.LocalTag) }

// nextCSeq returns the next sequence number.
func (d *liveDialog) nextCSeq() uint32 {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cseq = dialog.NextCSeq(d.cseq)
	return d.cseq
}

// request returns a request within the dialog. An ACK has the number of its INVITE.
func (d *liveDialog) request(method sip.RequestMethod, seq uint32) *sip.Request {
	req := d.Request(method, seq)
	req.SetTransport("UDP")
	req.SetDestination(d.At) // not the Contact's address, which may be a public one that only others can reach
	return req
}

// contact returns the Contact of a call.
func contact(user string, at netip.AddrPort) *sip.ContactHeader {
	return &sip.ContactHeader{Address: sip.Uri{Scheme: "sip", User: user, Host: at.Addr().String(), Port: int(at.Port())}}
}

// digitIn returns the key in the body of an INFO, or 0 (application/dtmf-relay, application/dtmf).
func digitIn(body []byte) byte {
	for line := range strings.Lines(string(body)) {
		name, value, has := strings.Cut(line, "=")
		if !has {
			value = name
		} else if !strings.EqualFold(strings.TrimSpace(name), "signal") {
			continue
		}
		if value = strings.TrimSpace(value); len(value) == 1 && strings.Contains(digits, strings.ToUpper(value)) {
			return strings.ToUpper(value)[0]
		}
		if n, err := strconv.Atoi(value); err == nil && n >= 0 && n < len(digits) {
			return digits[n]
		}
	}
	return 0
}

// digits are the keys in the order of their events (RFC 4733 section 3.2).
const digits = "0123456789*#ABCD"
