package sim

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/emiago/sipgo"
	"github.com/emiago/sipgo/sip"
	"github.com/google/uuid"
)

// dialog creates the requests within a dialog (RFC 3261 §12). The call's goroutine owns it.
type dialog struct {
	callID  string
	from    sip.FromHeader // own, with tag
	to      sip.ToHeader   // the peer's, with tag
	target  sip.Uri
	routes  []sip.Uri
	source  string // the peer's last address, used if the target is a name
	network string // UDP, TCP or TLS
	reuse   bool   // requests are sent over the peer's connection (RFC 5923)
	cseq    uint32
}

func newTag() string { return uuid.NewString()[:13] }

func tagOf(p sip.HeaderParams) string {
	tag, _ := p.Get("tag")
	return tag
}

// serverDialog returns the callee's dialog for an INVITE whose To has our tag.
func serverDialog(req *sip.Request) *dialog {
	return &dialog{
		callID: req.CallID().Value(),
		from:   sip.FromHeader{Address: *req.To().Address.Clone(), Params: req.To().Params.Clone()},
		to: sip.ToHeader{DisplayName: req.From().DisplayName, Address: *req.From().Address.Clone(), Params: req.From().
			Params.Clone()},
		target:  *req.Contact().Address.Clone(),
		routes:  recordRoutes(req.GetHeaders("Record-Route")),
		source:  req.Source(),
		network: req.Transport(),
		reuse:   req.Transport() != networkUDP,
	}
}

// clientDialog returns the caller's dialog for its INVITE and a response with a tag.
func clientDialog(req *sip.Request, res *sip.Response) *dialog {
	d := &dialog{
		callID: req.CallID().Value(),
		from: sip.FromHeader{DisplayName: req.From().DisplayName, Address: *req.From().Address.Clone(), Params: req.From().
			Params.Clone()},
		to:      sip.ToHeader{Address: *res.To().Address.Clone(), Params: res.To().Params.Clone()},
		target:  *req.Recipient.Clone(),
		routes:  recordRoutes(res.GetHeaders("Record-Route")),
		source:  req.Destination(),
		network: req.Transport(),
		cseq:    req.CSeq().SeqNo,
	}
	if c := res.Contact(); c != nil {
		d.target = *c.Address.Clone()
	}
	slices.Reverse(d.routes) // RFC 3261 §12.1.2
	return d
}

func recordRoutes(hs []sip.Header) []sip.Uri {
	var out []sip.Uri
	for _, h := range hs {
		if rr, ok := h.(*sip.RecordRouteHeader); ok {
			out = append(out, *rr.Address.Clone())
		}
	}
	return out
}

// request returns the next request. An ACK has the CSeq number of its INVITE.
func (d *dialog) request(method sip.RequestMethod) *sip.Request {
	if method != sip.ACK {
		d.cseq++
	}
	req := sip.NewRequest(method, d.target)
	for i := range d.routes {
		req.AppendHeader(&sip.RouteHeader{Address: d.routes[i]})
	}
	from, to, callID, hops := d.from, d.to, sip.CallIDHeader(d.callID), sip.MaxForwardsHeader(70)
	from.Params, to.Params = from.Params.Clone(), to.Params.Clone()
	req.AppendHeader(&from)
	req.AppendHeader(&to)
	req.AppendHeader(&callID)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: d.cseq, MethodName: method})
	req.AppendHeader(&hops)
	req.SetTransport(d.network)
	req.SetDestination(d.nextHop())
	return req
}

// nextHop returns the address of the next hop. It does not resolve names, because the peer chose
// them.
func (d *dialog) nextHop() string {
	if d.reuse {
		return d.source
	}
	hop := d.target
	if len(d.routes) > 0 {
		hop = d.routes[0]
	}
	ip, err := netip.ParseAddr(strings.Trim(hop.Host, "[]"))
	if err != nil {
		return d.source
	}
	return hostPart(ip) + ":" + strconv.Itoa(cmp.Or(hop.Port, sip.DefaultUdpPort))
}

// dialogs holds the calls of one end by Call-ID and our tag.
type dialogs[C any] struct {
	mu    sync.Mutex
	calls map[string]C
}

func dialogKey(callID, ownTag string) string { return callID + " " + ownTag }

func (d *dialogs[C]) add(key string, c C) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.calls == nil {
		d.calls = map[string]C{}
	}
	d.calls[key] = c
}

func (d *dialogs[C]) remove(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.calls, key)
}

// find returns the call that a request belongs to.
func (d *dialogs[C]) find(req *sip.Request) (c C, ok bool) {
	if req.CallID() == nil || req.To() == nil {
		return c, false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c, ok = d.calls[dialogKey(req.CallID().Value(), tagOf(req.To().Params))]
	return c, ok
}

// only calls f for requests within a call. Other requests get 481.
func (d *dialogs[C]) only(f func(C, *sip.Request, sip.ServerTransaction)) sipgo.RequestHandler {
	return func(req *sip.Request, tx sip.ServerTransaction) {
		if c, ok := d.find(req); ok {
			f(c, req, tx)
			return
		}
		noSuchCall(req, tx)
	}
}
