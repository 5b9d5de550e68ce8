package leg

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
)

// Dialog is one SIP dialog as RFC 3261 section 12 defines it: data only, so
// that it can be written down and read back. Its owner is a Leg.
type Dialog struct {
	CallID       string
	LocalTag     string
	RemoteTag    string
	LocalParty   string // our From or To value without tag
	RemoteParty  string // the peer's From or To value without tag
	LocalSeq     uint32 // CSeq of our last request
	RemoteSeq    uint32 // CSeq of the peer's last request
	Heard        bool   // there was one
	RemoteTarget string // URI of the peer's Contact
	RouteSet     []string
	Source       netip.AddrPort // where the peer's messages really come from
	Transport    string         // that they come by: config.Transport…; empty: udp
	NAT          config.NATMode
	Origin       sdp.Origin // of our session descriptions
}

// Local is what we are called on one leg: what Via and Contact say.
type Local struct {
	Transport string         // config.Transport…; empty: udp
	Listen    netip.AddrPort // the socket that requests leave from; of connections the address they are bound to
	Host      string         // in Via and Contact: an address, or what sip.advertise says
	Port      uint16
	Secure    bool // Contact is a sips URI
}

// contact is the Contact value of a leg on this address.
func (l Local) contact() string {
	if l.Secure {
		return "<sips:" + net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port))) + ">"
	}
	uri := "sip:" + net.JoinHostPort(l.Host, strconv.Itoa(int(l.Port)))
	if message.IsStream(l.Transport) {
		uri += ";transport=" + l.Transport
	}
	return "<" + uri + ">"
}

// URI is a SIP URI with this user at our own host.
func (l Local) URI(user string) string {
	host := l.Host
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		host = "[" + host + "]"
	}
	return "sip:" + user + "@" + host
}

// setRoutes takes the route set from the Record-Route values of the message
// that made the dialog: in order for a UAS, reversed for a UAC (RFC 3261
// section 12.1).
func (d *Dialog) setRoutes(recordRoute []sip.Header, reverse bool) {
	d.RouteSet = nil
	for _, h := range recordRoute {
		d.RouteSet = append(d.RouteSet, h.Value())
	}
	if reverse {
		for i, j := 0, len(d.RouteSet)-1; i < j; i, j = i+1, j-1 {
			d.RouteSet[i], d.RouteSet[j] = d.RouteSet[j], d.RouteSet[i]
		}
	}
}

// establish takes the state of a dialog that we began from its 2xx (RFC 3261
// section 12.1.2).
func (d *Dialog) establish(in ResponseIn) {
	d.RemoteTag = message.TagOf(in.Res.To().Params)
	if in.Source.IsValid() {
		d.Source = in.Source
	}
	if c := in.Res.Contact(); c != nil {
		d.RemoteTarget = c.Address.String()
	}
	d.setRoutes(in.Res.GetHeaders("record-route"), true)
}

// wantsSIPS says whether our Contact has to be a sips URI, by the Request-URI
// of the INVITE and the topmost Record-Route, or Contact where there is none
// (RFC 3261 section 12.1.1).
func (d *Dialog) wantsSIPS(scheme string) bool {
	next := d.RemoteTarget
	if len(d.RouteSet) > 0 {
		next = message.AddrSpec(d.RouteSet[0])
	}
	return d.Transport == config.TransportTLS && (scheme == "sips" || message.ParseURI(next).Scheme == "sips")
}

// request makes a request within the dialog (RFC 3261 section 12.2.1.1),
// without Via and Contact. seq 0 takes the next CSeq.
func (d *Dialog) request(method sip.RequestMethod, seq uint32) (*sip.Request, Hop) {
	if seq == 0 {
		d.LocalSeq++
		seq = d.LocalSeq
	}
	recipient, routes, next := d.routing()
	req := sip.NewRequest(method, recipient)
	maxForwards := sip.MaxForwardsHeader(70)
	req.AppendHeader(&maxForwards)
	req.AppendHeader(sip.NewHeader("From", message.WithTag(d.LocalParty, d.LocalTag)))
	req.AppendHeader(sip.NewHeader("To", message.WithTag(d.RemoteParty, d.RemoteTag)))
	callID := sip.CallIDHeader(d.CallID)
	req.AppendHeader(&callID)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: method})
	for _, r := range routes {
		req.AppendHeader(sip.NewHeader("Route", r))
	}
	req.SetBody(nil)
	return req, next
}

// routing gives the request-URI, Route values and next hop of a request
// within the dialog: loose routing, or a strict router's way (RFC 3261
// section 12.2.1.1).
func (d *Dialog) routing() (recipient sip.Uri, routes []string, next Hop) {
	target := message.ParseURI(d.RemoteTarget)
	if len(d.RouteSet) == 0 {
		return target, nil, d.nextHop(target)
	}
	first := message.ParseURI(message.AddrSpec(d.RouteSet[0]))
	if first.UriParams.Has("lr") {
		return target, d.RouteSet, d.nextHop(first)
	}
	routes = append(append([]string(nil), d.RouteSet[1:]...), "<"+d.RemoteTarget+">")
	return first, routes, d.nextHop(first)
}

// nextHop is where a request to uri goes. With nat on, or auto where the
// peer's Contact is a private address behind a public one, what does not name
// the peer's real address is sent there all the same. A URI without a transport
// is taken to mean the dialog's own: whoever speaks TCP to us can be spoken to.
func (d *Dialog) nextHop(uri sip.Uri) Hop {
	next := Hop{Transport: d.transportOf(uri)}
	port := message.DefaultPort(next.Transport)
	if uri.Port > 0 && uri.Port <= 65535 {
		port = uint16(uri.Port)
	}
	addr, err := netip.ParseAddr(message.TrimBrackets(uri.Host))
	literal := err == nil
	switch {
	case d.Source.IsValid() && d.viaSource(addr, literal):
		next.Addr = d.Source
		if message.IsStream(d.Transport) { // unless its connection is there, its Contact says the port
			next.Addr = netip.AddrPortFrom(d.Source.Addr(), port)
		}
	case literal:
		next.Addr = netip.AddrPortFrom(addr.Unmap(), port)
	default:
		next.Host, next.Port = uri.Host, port
	}
	return next
}

func (d *Dialog) transportOf(uri sip.Uri) string {
	named, _ := uri.UriParams.Get("transport")
	switch {
	case uri.Scheme == "sips", strings.EqualFold(named, config.TransportTLS):
		return config.TransportTLS
	case strings.EqualFold(named, config.TransportTCP):
		return config.TransportTCP
	case strings.EqualFold(named, config.TransportUDP):
		return ""
	default:
		return d.Transport
	}
}

func (d *Dialog) viaSource(addr netip.Addr, literal bool) bool {
	switch d.NAT {
	case config.NATOn:
		return !literal || addr.Unmap() != d.Source.Addr()
	case config.NATAuto:
		return literal && IsPrivate(addr.Unmap()) && !IsPrivate(d.Source.Addr())
	default: // config.NATOff
		return false
	}
}

// IsPrivate says that addr can't be reached from the public network.
func IsPrivate(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() ||
		cgnat.Contains(addr)
}

// cgnat is the shared address space of carrier-grade NAT (RFC 6598).
var cgnat = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)
