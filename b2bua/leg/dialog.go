package leg

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
	"flowbridge/config"
)

// Dialog is the state of a SIP dialog (RFC 3261 section 12). It belongs to a Leg.
type Dialog struct {
	CallID       string
	LocalTag     string
	remoteTag    string
	localParty   string // this side's From or To value without tag
	RemoteParty  string // the peer's From or To value without tag
	localSeq     uint32 // CSeq of the last request to the peer
	remoteSeq    uint32 // CSeq of the peer's last request
	requestSeen  bool   // remoteSeq is valid
	unsure       bool   // the leg was restored: the request with remoteSeq may not have been answered
	RemoteTarget string // URI of the peer's Contact
	routeSet     []string
	Source       netip.AddrPort // the address that the peer's messages come from
	transport    string         // transport of the peer's messages: config.Transport…; empty means udp
	nat          config.NATMode
	own          netip.Addr // our address toward the peer; invalid if not known
	origin       sdp.Origin // the o= line of our session descriptions
}

// Local is our address on one leg, as Via and Contact name it.
type Local struct {
	Transport string         // config.Transport…; empty means udp
	Listen    netip.AddrPort // the socket for requests, or the address that connections are bound to
	Host      string         // the host in Via and Contact: an address, or sip.advertise
	Port      uint16
	secure    bool // the Contact is a sips URI
}

// Via returns the Via of a request from this address. Its parameters share its allocation.
func (l Local) Via(branch string) *sip.ViaHeader {
	v := &struct {
		sip.ViaHeader
		params [2]sip.HeaderKV
	}{params: [...]sip.HeaderKV{{K: "branch", V: branch}, {K: "rport"}}} // RFC 3581
	v.ViaHeader = sip.ViaHeader{
		ProtocolName: "SIP", ProtocolVersion: "2.0", Transport: message.ViaTransport(l.Transport),
		Host: l.Host, Port: int(l.Port), Params: v.params[:],
	}
	return &v.ViaHeader
}

// contact returns the Contact value of this address without a user.
func (l Local) contact() string { return l.Contact("") }

// Contact returns the Contact value of this address. The user may be empty.
func (l Local) Contact(user string) string {
	var room [96]byte
	b := room[:0]
	if l.secure {
		b = append(b, "<sips:"...)
	} else {
		b = append(b, "<sip:"...)
	}
	if user != "" {
		b = append(append(b, user...), '@')
	}
	if strings.IndexByte(l.Host, ':') >= 0 {
		b = append(append(append(b, '['), l.Host...), ']')
	} else {
		b = append(b, l.Host...)
	}
	b = strconv.AppendUint(append(b, ':'), uint64(l.Port), 10)
	if !l.secure && message.IsStream(l.Transport) {
		b = append(append(b, ";transport="...), l.Transport...)
	}
	return string(append(b, '>'))
}

// addr returns our IP address on the leg, or the zero Addr if it is not known.
func (l Local) addr() netip.Addr {
	if a := l.Listen.Addr(); a.IsValid() && !a.IsUnspecified() {
		return a
	}
	a, _ := netip.ParseAddr(l.Host)
	return a
}

// Address returns the address of this user at this server's host, as a name-addr.
func (l Local) Address(user string) string {
	host := l.Host
	if a, err := netip.ParseAddr(host); err == nil && a.Is6() {
		host = "[" + host + "]"
	}
	return "<sip:" + user + "@" + host + ">"
}

// setRoutes sets the route set from the Record-Route values of the message that creates the dialog.
// A UAS keeps their order, a UAC reverses it (RFC 3261 section 12.1).
func (d *Dialog) setRoutes(recordRoute []string, reverse bool) {
	if d.routeSet = recordRoute; reverse {
		slices.Reverse(d.routeSet)
	}
}

// copyTexts copies the dialog's strings, so that the messages they come from can be freed.
func (d *Dialog) copyTexts() {
	message.Compact(&d.remoteTag, &d.localParty, &d.RemoteParty, &d.RemoteTarget)
	for i := range d.routeSet {
		d.routeSet[i] = strings.Clone(d.routeSet[i])
	}
}

// establish completes a UAC's dialog with the tag, the Contact, the routes and the source of a
// response (RFC 3261 section 12.1.2).
func (d *Dialog) establish(in ResponseIn) {
	d.remoteTag = message.TagOf(in.Res.To().Params)
	if in.Source.IsValid() {
		d.Source = in.Source
	}
	if c := in.Res.Contact(); c != nil {
		d.RemoteTarget = message.TargetText(c)
	}
	d.setRoutes(message.RawValues(in.Res, "record-route", "record-route"), true)
}

// Proxy returns the URI of the first proxy on the way to the peer, or "" if there is none.
func (d *Dialog) Proxy() string {
	if len(d.routeSet) == 0 {
		return ""
	}
	return message.AddrSpec(d.routeSet[0])
}

// wantsSIPS reports whether our Contact must be a sips URI. scheme is that of the INVITE's
// Request-URI. The scheme of the topmost Record-Route, or without one of the Contact, counts as
// well (RFC 3261 section 12.1.1).
func (d *Dialog) wantsSIPS(scheme string) bool {
	next := cmp.Or(d.Proxy(), d.RemoteTarget)
	return d.transport == config.TransportTLS && (scheme == "sips" || message.ParseURI(next).Scheme == "sips")
}

// request returns a request within the dialog (RFC 3261 section 12.2.1.1) with these
// additional headers. seq 0 means the next CSeq.
func (d *Dialog) request(method sip.RequestMethod, seq uint32, via *sip.ViaHeader,
	headers ...sip.Header,
) (*sip.Request, Hop) {
	if seq == 0 {
		d.localSeq++
		seq = d.localSeq
	}
	out := outgoing(method, seq, d.CallID)
	routes, next := d.routing(&out.Recipient)
	var room [24]sip.Header
	all := append(room[:0], via, &out.Hops,
		sip.NewHeader("From", message.WithTag(d.localParty, d.LocalTag)),
		sip.NewHeader("To", message.WithTag(d.RemoteParty, d.remoteTag)),
		&out.ID, &out.Seq)
	for _, r := range routes {
		all = append(all, sip.NewHeader("Route", r))
	}
	message.SetHeaders(&out.Request, append(append(all, &out.Length), headers...)...)
	return &out.Request, next
}

// outgoing returns a request whose memory has Max-Forwards, CSeq and Call-ID, inside or outside of a dialog.
func outgoing(method sip.RequestMethod, seq uint32, callID string) *message.Outgoing {
	out := &message.Outgoing{
		Hops: 70, Seq: sip.CSeqHeader{SeqNo: seq, MethodName: method}, ID: sip.CallIDHeader(callID),
	}
	out.Method = method
	return out
}

// routing sets the Request-URI of a request within the dialog. It returns the Route values and the
// next hop, for loose and strict routers (RFC 3261 section 12.2.1.1).
func (d *Dialog) routing(recipient *sip.Uri) (routes []string, next Hop) {
	message.ReadURI(d.RemoteTarget, recipient)
	if len(d.routeSet) == 0 {
		return nil, d.nextHop(recipient, d.transport)
	}
	first := message.ParseURI(message.AddrSpec(d.routeSet[0]))
	if first.UriParams.Has("lr") {
		return d.routeSet, d.nextHop(&first, d.routeTransport())
	}
	*recipient = first
	return append(append([]string(nil), d.routeSet[1:]...), "<"+d.RemoteTarget+">"), d.nextHop(&first, d.routeTransport())
}

// routeTransport returns the transport for a route whose URI names none: UDP (RFC 3263 section
// 4.1), or TLS if the dialog uses TLS.
func (d *Dialog) routeTransport() string {
	if d.transport == config.TransportTLS {
		return d.transport
	}
	return ""
}

// retarget stores the peer's new Contact, unless c is nil (RFC 3261 section 12.2).
func (d *Dialog) retarget(c *sip.ContactHeader) {
	if c != nil && c.Address.Host != "" {
		d.RemoteTarget = message.TargetText(c)
	}
}

// nextHop returns the hop for a request to uri. unnamed is the transport if the URI names none: for
// a Contact this is the dialog's transport, because a peer that sends over TCP can be reached over
// TCP. If the peer's configuration says that it is behind NAT (nat: on), a host name is not looked
// up.
func (d *Dialog) nextHop(uri *sip.Uri, unnamed string) Hop {
	next := Hop{Transport: transportOf(uri, unnamed), Host: uri.Host}
	next.Port = portOf(uri, next.Transport)
	var back wayBack
	if d.Source.IsValid() {
		back = wayBack{
			nat: d.nat, own: d.own, source: d.Source.Addr(), transport: transportOf(uri, d.transport),
			addr: d.Source,
		}
		if message.IsStream(d.transport) { // a new connection uses the port of the Contact
			back.addr = netip.AddrPortFrom(d.Source.Addr(), portOf(uri, back.transport))
		}
	}
	addr, err := netip.ParseAddr(message.TrimBrackets(uri.Host))
	switch {
	case err == nil:
		next = back.or(next, addr)
		next.Host = ""
	case back.nat == config.NATOn:
		next = back.hop()
	case back.source.IsValid():
		kept := back
		next.back = &kept
	}
	return next
}

// portOf returns the port of a URI.
func portOf(uri *sip.Uri, transport string) uint16 {
	if uri.Port > 0 && uri.Port <= 65535 {
		return uint16(uri.Port)
	}
	return message.DefaultPort(transport)
}

func transportOf(uri *sip.Uri, unnamed string) string {
	named, _ := uri.UriParams.Get("transport")
	switch {
	case uri.Scheme == "sips", strings.EqualFold(named, config.TransportTLS):
		return config.TransportTLS
	case strings.EqualFold(named, config.TransportTCP):
		return config.TransportTCP
	case strings.EqualFold(named, config.TransportUDP):
		return ""
	default:
		return unnamed
	}
}

// IsPrivate reports whether addr can't be reached from the public network, as with private,
// loopback and link-local addresses.
func IsPrivate(addr netip.Addr) bool {
	return addr.IsPrivate() || addr.IsLoopback() || addr.IsLinkLocalUnicast() || addr.IsUnspecified() ||
		cgnat.Contains(addr)
}

// cgnat is the shared address space of carrier-grade NAT (RFC 6598).
var cgnat = netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)
