package config

import (
	"net/netip"
	"regexp"
	"time"

	"flowbridge/audio"
)

// Config is the whole of flowbridge.yaml.
type Config struct {
	// SIP is where signalling is received and how we name ourselves in it.
	SIP SIP
	// Media is where RTP is received and how we name ourselves in SDP.
	Media Media
	// Trunks are the carriers and PBXs that may call us, and that targets may call through us. A source that belongs to
	// none of them, and to no target that may call, gets no answer.
	Trunks []Trunk
	// Targets are the platforms and SIP addresses that calls go to.
	Targets []Target
	// Routes say which call goes to which targets or trunks; the first one that matches wins.
	Routes []Route
	// Recording is where calls are recorded to.
	Recording Recording
	// Hooks are the HTTP addresses that platforms and carriers ask us at.
	Hooks Hooks
	// Sounds are WAV files by name, for Route.Ringback, Route.Hold and the admin API. Default: none.
	Sounds map[string]*audio.Sound
	// Store is the local database of live and finished calls.
	Store Store
	// Admin is the HTTP interface for operators.
	Admin Admin
	// Log is what goes to standard error.
	Log Log
}

// SIP holds the section `sip`.
type SIP struct {
	// Listen is where SIP is received: "udp://0.0.0.0:5060", "tcp://…", "tls://…", IPv6 as "udp://[::]:5060".
	// Default: udp://0.0.0.0:5060. Port 0 lets the system choose. One listener of each transport and address family.
	Listen []Listener
	// Advertise is the IP address or host name in Via and Contact. Default: empty, the address of the interface
	// that leads to the peer.
	Advertise string
	// LocalNetworks are the networks on our side of the NAT: their peers are told the interface's own address instead
	// of sip.advertise and media.advertise. Default: none.
	LocalNetworks []netip.Prefix
	// TLS is what a tls listener shows and asks for.
	TLS ListenTLS
	// DrainTimeout is how long calls may go on after SIGTERM. Default: 60s.
	DrainTimeout time.Duration
	// MaxDelay is how long a message may wait for the process before new calls are refused with 503. Default: 500ms.
	MaxDelay time.Duration
	// AuthAlgorithms are the digest algorithms that trunks are offered, in this order: SHA-256, MD5. Default: both.
	AuthAlgorithms []string
	// Limits bound what a peer may send.
	Limits Limits
}

// ListenTLS is the section `sip.tls`. The files are read again when they change.
type ListenTLS struct {
	// Cert is the PEM file of our certificate and its chain. Required by a tls listener.
	Cert string
	// Key is the PEM file of its private key. Required by a tls listener.
	Key string
	// ClientCA is the PEM file of the authorities whose client certificates name trunks. Default: none, no client
	// certificate is asked for.
	ClientCA string
}

// Limits is the section `sip.limits`. What is over a limit is refused with a status that says so; see docs/configuration.md.
type Limits struct {
	// Message bounds a whole SIP message, in bytes. Default: 16384. More: 513.
	Message int
	// Headers bounds the header lines of a message. Default: 128. More: 400.
	Headers int
	// Header bounds one header with its folds, in bytes. Default: 4096. More: 400.
	Header int
	// Body bounds a body, in bytes. Default: 12288. More: 513.
	Body int
	// SDP bounds a session description, in bytes. Default: 8192. More: 400 to a carrier; a target's answer is not used.
	SDP int
	// Connections bounds the TCP and TLS connections that peers opened. Default: 1000. More are closed.
	Connections int
	// ConnectionsPerSource bounds those of one address. Default: 100. More are closed.
	ConnectionsPerSource int
	// Setups bounds the calls that are not answered yet. Default: 2000. More: 503.
	Setups int
}

// The values of a transport.
const (
	TransportUDP = "udp"
	TransportTCP = "tcp"
	TransportTLS = "tls"
)

// Listener is one entry of sip.listen.
type Listener struct {
	// Transport is udp, tcp or tls.
	Transport string
	// AddrPort is the address and port that the socket is bound to.
	AddrPort netip.AddrPort
}

// String gives the listener as it is written in the file.
func (l Listener) String() string { return l.Transport + "://" + l.AddrPort.String() }

// Media holds the section `media`.
type Media struct {
	// Listen are the addresses that RTP sockets are bound to. The first of each address family is for the trunks and targets
	// that name none. Default: 0.0.0.0.
	Listen []MediaListener
	// Advertise is the IP address written into SDP for the one address of its family. Default: empty, the address of the
	// interface that leads to the peer.
	Advertise string
	// PortLow is the first port of `ports`, which is written as "10000-32767". Default: 10000.
	PortLow uint16
	// PortHigh is the last port of `ports`, included. Default: 32767, below the kernel's ephemeral range.
	PortHigh uint16
	// Engine carries the packets: auto, kernel or userspace. Default: auto. This version has no kernel engine.
	Engine string
	// Timeout ends a call that has had RTP and then none in either direction for so long. Default: 30s.
	Timeout time.Duration
	// StartTimeout ends a call that has had no RTP at all for so long after its answer. Default: 30s.
	StartTimeout time.Duration
	// DSCP marks RTP and RTCP that we send, 0 to 63. Default: 0, not marked.
	DSCP uint8
}

// The values of media.engine.
const (
	EngineAuto      = "auto"
	EngineKernel    = "kernel"
	EngineUserspace = "userspace"
)

// NATMode says where in-dialog requests to a trunk go.
type NATMode string

// The values of trunks[].nat.
const (
	// NATAuto sends to the peer's source address only when Contact is private and the source is public.
	NATAuto NATMode = "auto"
	// NATOn sends to the peer's source address wherever Contact or route set name another host.
	NATOn NATMode = "on"
	// NATOff follows RFC 3261 to the letter.
	NATOff NATMode = "off"
)

// Rel100Mode says whether provisional answers are reliable toward a side (RFC 3262).
type Rel100Mode string

// The values of trunks[].rel100 and targets[].rel100.
const (
	// Rel100Off neither offers nor takes them.
	Rel100Off Rel100Mode = "off"
	// Rel100Supported offers them, and uses them where the side does so, too.
	Rel100Supported Rel100Mode = "supported"
	// Rel100Required refuses a call without them.
	Rel100Required Rel100Mode = "required"
)

// Trunk is one entry of `trunks`: a carrier or PBX that calls us, or is called.
type Trunk struct {
	// Name is unique among the trunks; it appears in records, logs and metrics.
	Name string
	// Sources are the networks that the trunk's signalling comes from. A bare address is a network of one. The longest
	// prefix wins; trunks with the same prefix are told apart by Match. Default: none; then Auth or Certificates is needed.
	Sources []netip.Prefix
	// Auth are the credentials that the trunk's calls must show by digest (RFC 3261 section 22). Default: none.
	Auth *Auth
	// Certificates are the names, one of which the trunk's client certificate must have. TLS only. Default: none.
	Certificates []string
	// Match tells trunks with the same sources apart. Default: none, every call matches.
	Match Match
	// URI is the template of the Request-URI of calls that we place to this trunk: "sip:{{.To.Number}}@pbx.example.com".
	// Default: nil, none can be placed.
	URI *Template
	// Transport is udp, tcp or tls, of calls placed to it. Default: udp.
	Transport string
	// TLS is how a trunk over tls is checked and what it is shown when we call it.
	TLS TargetTLS
	// DialAuth answers the trunk's 401 and 407 to calls that we place. Default: none.
	DialAuth *Auth
	// Codecs are the audio codecs that may be used in calls placed to it, of those that the caller offers. Default: PCMU, PCMA.
	Codecs []string
	// FirstResponseTimeout is how long the trunk may stay silent to a call placed to it, 100 included, before the next
	// one is tried. Default: 4s.
	FirstResponseTimeout time.Duration
	// RingTimeout is how long the trunk may take for its final answer to a call placed to it. Default: 60s.
	RingTimeout time.Duration
	// Rel100 says whether provisional answers are reliable toward the trunk. Default: supported.
	Rel100 Rel100Mode
	// SessionExpires is the session timer that we ask the trunk for. Default: 0, session timers only if it asks (RFC 4028).
	SessionExpires time.Duration
	// MinSE is the shortest session timer that the trunk may ask for. Default: 90s, which is the least.
	MinSE time.Duration
	// PassHeaders are the headers of a target's messages (answers, BYE, INVITE) that this trunk gets, spelled as they go
	// out. A name that ends in * stands for all headers that begin so, see Passable. Default: none.
	PassHeaders []string
	// MediaSources are further networks that its RTP may come from. Default: none, only the addresses in SDP and of its signalling.
	MediaSources []netip.Prefix
	// Media is how its RTP is treated.
	Media PeerMedia
	// MaxCalls caps the trunk's simultaneous calls, in both directions together. Default: 0, no cap.
	MaxCalls int
	// MaxCPS caps the trunk's new calls per second, in both directions together. Default: 0, no cap.
	MaxCPS int
	// MaxDuration ends a call that has been answered for so long. Default: 4h.
	MaxDuration time.Duration
	// NAT is auto, on or off. Default: auto.
	NAT NATMode
	// Country is the country calling code that turns a national number into E.164: "1", "49". Default: empty, numbers stay as they came.
	Country string
	// Trusted says whether the trunk's P-Asserted-Identity and Remote-Party-ID are believed. Default: true.
	Trusted bool
}

// Auth is the section `auth` of a trunk or target, `dial_auth` of a trunk or `call_auth` of a target.
type Auth struct {
	// Username is the digest user.
	Username string
	// Password is read from password_file or password_env (exactly one of them).
	Password Secret
}

// Match is the section `match` of a trunk: what a call must show besides its source. What is empty matches everything.
type Match struct {
	// ToDomain is the host of the Request-URI, without regard to case.
	ToDomain string
	// HeaderName and HeaderValue are a header that must be there with this value; written "X-Trunk: acme".
	HeaderName, HeaderValue string
	// Port is the port that the trunk's SIP comes from.
	Port uint16
}

// Conditions counts what is asked for: the more, the more specific.
func (m Match) Conditions() (n int) {
	for _, set := range []bool{m.ToDomain != "", m.HeaderName != "", m.Port != 0} {
		if set {
			n++
		}
	}
	return n
}

// The values of targets[].kind.
const (
	KindSynthflow = "synthflow"
	KindVapi      = "vapi"
	KindSIP       = "sip"
)

// ReinviteMode says what becomes of a target's, or its caller's, wish to change a call.
type ReinviteMode string

// The values of targets[].reinvite.
const (
	// ReinviteAuto relays what the other side has to know of, and answers the rest.
	ReinviteAuto ReinviteMode = "auto"
	// ReinviteRelay relays every change to the other side.
	ReinviteRelay ReinviteMode = "relay"
	// ReinviteAbsorb answers every change itself.
	ReinviteAbsorb ReinviteMode = "absorb"
)

// DTMFMode says how a target wants DTMF.
type DTMFMode string

// The values of targets[].dtmf.
const (
	// DTMFRelay passes it on as it comes.
	DTMFRelay DTMFMode = "relay"
	// DTMFInfo makes SIP INFO of it.
	DTMFInfo DTMFMode = "info"
	// DTMFRFC4733 makes telephone events of it (RFC 4733).
	DTMFRFC4733 DTMFMode = "rfc4733"
)

// The values of targets[].codec_order.
const (
	CodecOrderCaller = "caller"
	CodecOrderTarget = "target"
)

// TransferMode says what becomes of a target's REFER.
type TransferMode string

// The values of targets[].transfer.
const (
	// TransferRefuse refuses it.
	TransferRefuse TransferMode = "refuse"
	// TransferLocal places the call that it asks for.
	TransferLocal TransferMode = "local"
	// TransferRelay passes it on to the trunk.
	TransferRelay TransferMode = "relay"
)

// Target is one entry of `targets`: where calls go.
type Target struct {
	// Name is unique among the targets; it appears in records, logs and metrics.
	Name string
	// Kind is synthflow, vapi or sip.
	Kind string
	// Region is where the platform keeps the account: global, us or eu for kind synthflow, us or eu for kind vapi. API and
	// SIP host of another region are refused. Default: empty, the one that uri and api name.
	Region string
	// URI is the template of the Request-URI. Default, kind synthflow only: "sip:{{.Agent.Number}}@" and the region's SIP
	// host, sipin.synthflow.ai where no region is named, with port 32681, or 32682 over tls.
	URI *Template
	// Transport is udp, tcp or tls. Default: udp.
	Transport string
	// TLS is how a target over tls is checked and what it is shown.
	TLS TargetTLS
	// Auth answers the target's 401 and 407. Default: none.
	Auth *Auth
	// PassHeaders are the headers of the carrier's INVITE that this target gets, spelled as they go out. A name that ends
	// in * stands for all headers that begin so, see Passable. Default: none.
	PassHeaders []string
	// Budget bounds an INVITE over udp.
	Budget Budget
	// Overflow says what becomes of an INVITE over the budget: tcp (it goes over TCP to the same host and port) or trim
	// (headers are left out, the last one first). Default: tcp, for kind sip trim.
	Overflow string
	// Prepare is the HTTP step before the INVITE, kind synthflow only. Default: none, the target is dialled directly.
	Prepare *Prepare
	// Account is the platform's HTTP API for provisioning and check --online, which calls have no need of. Default: that
	// of Prepare, or none.
	Account *Account
	// Headers are added to the INVITE, in file order and byte for byte. One whose template gives nothing is left out.
	Headers []Header
	// Codecs are the audio codecs that may be used, of those that the caller offers. Default: PCMU, PCMA.
	Codecs []string
	// CodecOrder is caller or target: whose order of codecs the target is offered. Default: caller.
	CodecOrder string
	// FirstResponseTimeout is how long the target may stay silent, 100 included, before the next one is tried. Default: 4s.
	FirstResponseTimeout time.Duration
	// RingTimeout is how long the target may take for its final answer. Default: 60s.
	RingTimeout time.Duration
	// MaxCalls caps the target's simultaneous calls. Default: 0, no cap.
	MaxCalls int
	// MaxCPS caps the target's new calls per second. Default: 0, no cap.
	MaxCPS int
	// MediaSources are further networks that its RTP may come from. Default: none, only the addresses in SDP and of its signalling.
	MediaSources []netip.Prefix
	// Media is how its RTP is treated.
	Media PeerMedia
	// Sources are the networks that this target's own calls to us come from. Default: none. Without Sources and CallAuth
	// it can't call.
	Sources []netip.Prefix
	// CallAuth are the credentials that this target's own calls must show by digest. Default: none.
	CallAuth *Auth
	// Reinvite is auto, relay or absorb. Default: auto.
	Reinvite ReinviteMode
	// Rel100 says whether provisional answers are reliable toward the target. Default: off.
	Rel100 Rel100Mode
	// SessionExpires is the session timer that we ask the target for. Default: 0, session timers only if it asks (RFC 4028).
	SessionExpires time.Duration
	// MinSE is the shortest session timer that the target may ask for. Default: 90s, which is the least.
	MinSE time.Duration
	// DTMF is relay, info or rfc4733. Default: relay.
	DTMF DTMFMode
	// PassMethods are the requests within the dialog that go from one side to the other, of INFO, MESSAGE, NOTIFY and
	// SUBSCRIBE. Default: INFO.
	PassMethods []string
	// PassParts are the content types, in lower case, of the parts of a multipart body in the caller's INVITE that the
	// target gets. Default: none.
	PassParts []string
	// Transfer is refuse, local or relay. Default: refuse.
	Transfer TransferMode
	// TransferNumbers are regular expressions over the number that the target may transfer to. Default: none.
	TransferNumbers []*regexp.Regexp
	// TransferHosts are the hosts, names in lower case or addresses, that the target may transfer to. Default: none.
	TransferHosts []string
}

// MayCall says whether a target can place calls of its own.
func (t *Target) MayCall() bool { return len(t.Sources) > 0 || t.CallAuth != nil }

// TargetTLS is the section `tls` of a target or trunk.
type TargetTLS struct {
	// ServerName is the name in SNI that the target's certificate must have. Default: the host of the uri.
	ServerName string
	// CA is the PEM file of the authorities that are trusted. Default: those of the system.
	CA string
	// Cert and Key are the PEM files of the certificate that we show. Default: none.
	Cert, Key string
}

// The values of targets[].overflow.
const (
	OverflowTCP  = "tcp"
	OverflowTrim = "trim"
)

// Budget is the section `budget` of a target: how large an INVITE over udp may be before Overflow applies.
type Budget struct {
	// Size bounds the whole INVITE, in bytes. Default: 1100.
	Size int
	// Value bounds the value of one configured or passed header, in bytes. Default: 512.
	Value int
	// Headers bounds how many configured and passed headers there may be. Default: 24.
	Headers int
}

// Header is one entry of targets[].headers.
type Header struct {
	// Name is the header's name, spelled as it goes out.
	Name string
	// Value is the template of the header's value.
	Value *Template
}

// The values of targets[].prepare.on_failure.
const (
	OnFailureNext = "next"
	OnFailureDial = "dial"
)

// Prepare is the section `prepare` of a target: the request for a call id.
type Prepare struct {
	// API is the base of the platform's HTTP API. Default: that of the target's region, https://api.synthflow.ai where
	// none is named.
	API string
	// Token is the bearer token, read from token_file or token_env (exactly one of them).
	Token Secret
	// WorkspaceID is sent as workspace_id. Default: empty.
	WorkspaceID string
	// ModelID is sent as model_id, the agent that takes the call. Default: empty.
	ModelID string
	// FromNumber is sent as from_number, the lead's number. Default: {{.Lead.Number}}.
	FromNumber *Template
	// ToNumber is sent as to_number, the agent's number. Default: {{.Agent.Number}}.
	ToNumber *Template
	// CustomVariables are sent as custom_variables, in file order. Default: none.
	CustomVariables []Variable
	// Timeout bounds the whole step, retry included. Default: 3s.
	Timeout time.Duration
	// OnFailure is next (try the next target) or dial (dial this one without an id). Default: next.
	OnFailure string
}

// Account is the section `account` of a target.
type Account struct {
	// API is the base of the platform's HTTP API. Default: that of the target's region.
	API string
	// Token is the bearer token, read from token_file or token_env (exactly one of them).
	Token Secret
	// WorkspaceID is the workspace, kind synthflow only. Default: empty.
	WorkspaceID string
}

// Variable is one entry of custom_variables.
type Variable struct {
	// Name is the variable's name.
	Name string
	// Value is the template of its value.
	Value *Template
}

// Store holds the section `store`.
type Store struct {
	// Path is the SQLite file, relative to the working directory. Default: flowbridge.db.
	Path string
	// Keep is how long finished calls are kept. Default: 90d.
	Keep time.Duration
	// Ladders is how long message ladders are kept. Default: 7d.
	Ladders time.Duration
}

// Admin holds the section `admin`.
type Admin struct {
	// Listen is the address of the admin API. Default: 127.0.0.1:8080. Any other than a loopback address needs token_file.
	Listen netip.AddrPort
	// Token is the bearer token of the admin API, read from token_file. Default: empty, no token (loopback only).
	Token Secret
}

// The values of log.format.
const (
	FormatJSON    = "json"
	FormatConsole = "console"
)

// Log holds the section `log`.
type Log struct {
	// Level is debug, info, warn or error. Default: info.
	Level string
	// Format is json or console. Default: json.
	Format string
}
