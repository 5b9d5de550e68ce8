package config

import (
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/config/template"
)

// Target is one entry of `targets`: where calls go.
type Target struct {
	// The target's name in routes, records and logs. No other target may have it.
	Name string `key:"name" is:"target-name" required:"a short name for the target"`
	// What it is: Synthflow, Vapi, any SIP address, one with an HTTP request before each call, set in prepare, or a bot
	// that speaks Twilio Media Streams over a WebSocket.
	Kind string `key:"kind" is:"kind" required:"synthflow, vapi, sip, http or websocket"`
	// Where the platform keeps the account: global (only synthflow), us, eu. Empty: what uri and api say. Hosts of another
	// region are refused.
	Region string `key:"region" enum:"global us eu" later:""`
	// The Request-URI. Required except for kinds synthflow and websocket. Default with synthflow:
	// "sip:{{.Agent.Number}}@", the region's SIP host (sipin.synthflow.ai without region), and port 32681, or 32682 over
	// TLS.
	URI *template.Template `key:"uri" later:""`
	// The transport of calls to it. auto: from the host's NAPTR and SRV records; UDP if it has none, or with a port.
	Transport string `key:"transport" enum:"udp tcp tls auto" default:"udp"`
	// How its certificate is checked, and which one it gets, with transport: tls.
	TLS TargetTLS `key:"tls"`
	// The digest credentials for its 401 and 407.
	Auth *Auth `key:"auth"`
	// The headers of the carrier's INVITE and BYE that it gets, perhaps converted. "X-*": all with that prefix.
	PassHeaders []Pass `key:"pass_headers" is:"header-pattern"`
	// How large an INVITE over UDP may be before overflow applies. With overflow: tcp, credentials take 300 bytes of it.
	Budget Budget `key:"budget" knob:""`
	// What happens to an INVITE over the budget: tcp (it goes over TCP) or trim (headers are left out, the last one
	// first). Default: trim with an explicit transport: udp, and for kind sip; else tcp.
	Overflow string `key:"overflow" enum:"tcp trim" knob:""`
	// The HTTP request before the INVITE. Only for kinds synthflow and http, and with the keys of kind http for kind
	// websocket. Without it a Synthflow target is dialled directly.
	Prepare *Prepare `key:"prepare" later:""`
	// The platform's HTTP API for provisioning and check --online. Not needed for calls, nor beside prepare.
	Account *account `key:"account" later:""`
	// Kind websocket: the bot's URL, ws or wss. Path and query may hold templates, whose values are escaped.
	// Redirects are not followed. A name may not lead to a private address, unless a proxy looks it up.
	URL *template.URL `key:"url" is:"socket-url" later:""`
	// Kind websocket: what the bot gets as customParameters, at most 2,048 bytes in JSON.
	Parameters []variable `key:"parameters" later:""`
	// Kind websocket: the token, sent with the upgrade as Authorization: Bearer.
	Token Secret `key:"token_file"`
	// Kind websocket: for bots that check that Twilio calls, or end calls over HTTP as Twilio lets them.
	Twilio *SocketTwilio `key:"twilio"`
	// Headers of the INVITE. They are sent in this order, byte for byte, and replace Flowbridge's own. One whose template
	// is empty is left out.
	Headers []Header `key:"headers" later:""`
	// The audio codecs that may be used, of those that the caller offers.
	Codecs []string `key:"codecs" is:"codec" default:"PCMU, PCMA" filled:""`
	// How long it may stay silent, 100 included, before the next target is tried.
	FirstResponseTimeout time.Duration `key:"first_response_timeout" default:"4s" knob:""`
	// How long it may take for its final answer before the next target is tried. Kind websocket: 30s.
	RingTimeout time.Duration `key:"ring_timeout" default:"60s"`
	// When it is taken out of use because it fails. An API of several targets has the circuit of the first one.
	Circuit Circuit `key:"circuit" knob:""`
	// OPTIONS that find out whether it answers, without a call.
	Ping Ping `key:"ping"`
	// The most simultaneous calls. 0: no cap.
	MaxCalls int `key:"max_calls" default:"0" max:"1000000"`
	// The most new calls per second. 0: no cap.
	MaxCPS int `key:"max_cps" default:"0" max:"1000000"`
	// The networks that its RTP may come from, besides the addresses of its SDP and SIP. Media goes there before a caller
	// is confirmed.
	MediaSources []netip.Prefix `key:"media_sources"`
	// How its RTP is treated.
	Media PeerMedia `key:"media"`
	// The networks that its own calls come from. "local": this machine. Without sources and call_auth it cannot call.
	Sources []Source `key:"sources" later:""`
	// The digest credentials that its own calls must show.
	CallAuth *Auth `key:"call_auth"`
	// Lets it register here with the credentials of call_auth, as Synthflow does with uac_enabled.
	Registrar *Registrar `key:"registrar"`
	// What happens to changes of a call: auto (those that concern the other side are relayed), relay (all), absorb (none).
	Reinvite ReinviteMode `key:"reinvite" enum:"auto relay absorb" default:"auto" knob:""`
	// Reliable provisional answers (RFC 3262).
	Rel100 Rel100Mode `key:"rel100" enum:"off supported required" default:"off" knob:""`
	// The session timer requested of it (RFC 4028), from 90s to 24h. 0: session timers only if it asks.
	SessionExpires time.Duration `key:"session_expires" is:"timer-or-0" default:"0" knob:""`
	// How it wants DTMF: relay (as it comes), info (SIP INFO), rfc4733 (telephone-events).
	DTMF DTMFMode `key:"dtmf" enum:"relay info rfc4733" default:"relay"`
	// What happens to its REFER: refuse, local (Flowbridge places the call), relay (the trunk gets it). Ordered transfers
	// need only the lists.
	Transfer TransferMode `key:"transfer" enum:"refuse local relay" default:"refuse"`
	// The numbers that its calls may be transferred to, by REFER or an order, as in routes. A transfer needs this list or
	// transfer_hosts.
	TransferNumbers []*Numbers `key:"transfer_numbers" is:"number-pattern"`
	// The hosts that its calls may be transferred to, at the ports 5060 and 5061, or at the entry's: pbx.example.com:5070.
	TransferHosts []string `key:"transfer_hosts" is:"host"`

	// HasToken says that kind websocket has a token, which is not read for explain.
	HasToken bool
	// Sample is a row of the table of numbers with which the target's templates are tried. It is nil without a table.
	Sample template.Row
}

func (t *Target) check(s section) {
	if t.Kind != KindWebsocket {
		s.usesTLS(t.TLS, t.Transport)
	}
	t.Sources = s.targetSources(t.CallAuth)
	if t.Registrar != nil && t.CallAuth == nil {
		s.fields["registrar"].fail("has no credentials to ask for",
			"write call_auth, the user and the password of what registers")
	}
	s.transfers(t)
	s.l.callers[t.Name] = t.MayCall() || t.Transfer != TransferRefuse || t.mayBeTransferred()
	t.overBudget(s)
	t.Prepare = s.prepare(t.Kind)
	t.socket(s)
	t.Sample = s.l.sampleRow()
	use := templateUse{prepare: s.has("prepare"), without: noPrepareStep, sample: t.Prepare.sample()}
	t.Headers = s.headers(use) // if there is no id, headers that need it are left out
	use.mayLack = t.Prepare != nil && t.Prepare.OnFailure == OnFailureDial
	s.platform(t, use)
	if t.Kind == KindSynthflow && t.Prepare != nil {
		t.Prepare.synthflow()
	}
	s.idIsThere(t)
	s.pinged(t.Ping, t.URI, false)
	if t.Kind == KindWebsocket {
		s.reachesGateway()
	} else {
		s.callable(t.Transport)
	}
}

// mayBeTransferred reports whether requests to the API may transfer the target's calls.
func (t *Target) mayBeTransferred() bool { return len(t.TransferNumbers)+len(t.TransferHosts) > 0 }

// idIsThere reports headers that use the platform's id although the answer has none.
func (s section) idIsThere(t *Target) {
	if t.Kind != KindHTTP || t.Prepare == nil || t.Prepare.ID != "" {
		return
	}
	for _, h := range t.Headers {
		if strings.Contains(h.Value.String(), ".Prepare.CallID") {
			s.fields["headers"].fail("has .Prepare.CallID in "+h.Name+", and prepare says no id",
				`write id below prepare: where the answer has it; or use {{.Prepare.JSON "path"}}`)
		}
	}
}

// MayCall reports whether a target can place calls.
func (t *Target) MayCall() bool { return len(t.Sources) > 0 || t.CallAuth != nil }

// The values of targets[].kind.
const (
	KindSynthflow = "synthflow"
	KindVapi      = "vapi"
	KindSIP       = "sip"
	KindHTTP      = "http"
	KindWebsocket = "websocket"
)

// targetKinds returns the values of targets[].kind.
func targetKinds() []string {
	return []string{KindSynthflow, KindVapi, KindSIP, KindHTTP, KindWebsocket}
}

// ReinviteMode says what happens when a target or its caller wants to change a call.
type ReinviteMode string

// The values of targets[].reinvite.
const (
	ReinviteAuto   ReinviteMode = "auto"
	reinviteRelay  ReinviteMode = "relay"
	ReinviteAbsorb ReinviteMode = "absorb"
)

// DTMFMode says how a target wants DTMF.
type DTMFMode string

// The values of targets[].dtmf.
const (
	DTMFRelay   DTMFMode = "relay"
	DTMFInfo    DTMFMode = "info"
	DTMFRFC4733 DTMFMode = "rfc4733"
)

// TransferMode says how a target's REFER is handled.
type TransferMode string

// The values of targets[].transfer.
const (
	TransferRefuse TransferMode = "refuse"
	TransferLocal  TransferMode = "local"
	TransferRelay  TransferMode = "relay"
)

// TargetTLS is the section `tls` of a target or trunk.
type TargetTLS struct {
	// The name in SNI, which the certificate must have. Empty: the host of the uri.
	ServerName string `key:"server_name" is:"server-name"`
	// The PEM file of the trusted authorities. Empty: those of the system.
	CA string `key:"ca" is:"file"`
	// The PEM file of the certificate to show. Empty: none.
	Cert string `key:"cert" is:"file"`
	// The PEM file of its private key.
	Key string `key:"key" is:"file"`
}

func (t *TargetTLS) check(s section) {
	s.keyPair("cert", "key")
	s.authorities("ca")
}

// usesTLS reports a section tls although the transport is not TLS.
func (s section) usesTLS(t TargetTLS, transport string) {
	if t != (TargetTLS{}) && transport != TransportTLS && transport != TransportAuto {
		s.fields["tls"].fail("has no effect over "+transport, "write transport: tls, or remove it")
	}
}

// Header is one entry of targets[].headers.
type Header struct {
	// Name is the header's name, in the spelling in which it is sent.
	Name string
	// Value is the template of the header's value.
	Value *template.Template
}

// headers reads the header mapping of an INVITE.
func (s section) headers(use templateUse) []Header {
	return s.headerLines(use, func(name string) complaint {
		switch {
		case !tokenOnly.MatchString(name):
			return refuse("is not a header name", "use letters, digits and dashes, and no colon within the name")
		case ownHeader(strings.ToLower(name)):
			return refuse("is set by Flowbridge itself", "remove it; carry the value in a header of another name, X-…")
		}
		return complaint{}
	})
}

// headerLines reads a mapping of header names to templates, in file order. wrong returns the complaint about a name.
func (s section) headerLines(use templateUse, wrong func(name string) complaint) (all []Header) {
	first := map[string]string{} // the first spelling of each name, by the name in lower case
	for _, e := range s.entriesOf("headers") {
		lower := strings.ToLower(e.key)
		c := wrong(e.key)
		if c.none() && first[lower] != "" {
			c = refuse("is the same header as "+first[lower], "keep one of them")
		}
		if !c.none() {
			e.l.fail(e.line, e.path, c.problem, c.remedy)
			continue
		}
		first[lower] = e.key
		if t, _, ok := e.template(use); ok {
			all = append(all, Header{Name: e.key, Value: t})
		}
	}
	return all
}

func parseKind(t string) (string, complaint) {
	if slices.Contains(targetKinds(), t) {
		return t, complaint{}
	}
	wrong := refuse("is not a kind of target", meant(t, targetKinds(), "write synthflow, vapi, sip, http or websocket"))
	if Nearest(t, targetKinds()) == "" && namePart.MatchString(t) {
		wrong.unseen = wrong.remedy
		wrong.remedy += "; for a further platform, paste what \"flowbridge targets profiles " +
			strings.ToLower(t) + "\" prints"
	}
	return "", wrong
}

// transfers reports transfers that have no list of destinations.
func (s section) transfers(t *Target) {
	if v, ok := s.get("transfer"); ok && v.text != string(t.Transfer) { // the wrong value has been reported
		return
	}
	switch {
	case t.Transfer == TransferRefuse: // the lists are for orders
	case s.elements("transfer_numbers")+s.elements("transfer_hosts") == 0:
		s.fields["transfer"].fail("allows transfers, but to nowhere",
			`write transfer_numbers, like ["^\\+1507[0-9]{7}$"], or transfer_hosts, like [pbx.example.com]`)
	}
}

// parseNumberPattern parses a regular expression over numbers. It refuses an empty one, which would allow all of them.
func parseNumberPattern(t string) (*Numbers, complaint) {
	if t == "" {
		return nil, refuse("is empty", `write a regular expression like "^\\+1507[0-9]{7}$"`)
	}
	return parseRegexp(t)
}

// parseTransferHost parses a host name or address, perhaps with a port, and normalises its spelling.
func parseTransferHost(t string) (string, complaint) {
	if host, port, err := net.SplitHostPort(t); err == nil {
		if n, err := strconv.ParseUint(port, 10, 16); err == nil && n > 0 {
			name, c := parseTransferHost(host)
			return net.JoinHostPort(name, port), c
		}
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(t, "["), "]")); err == nil && a.Zone() == "" {
		return a.Unmap().String(), complaint{}
	}
	if !isHostName(t) {
		return "", refuse("is neither a host name nor an address", "write it without sip:, like pbx.example.com or pbx.example.com:5070")
	}
	return strings.ToLower(strings.TrimSuffix(t, ".")), complaint{}
}
