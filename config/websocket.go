package config

import (
	"encoding/json"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"flowbridge/config/template"
)

// SocketTwilio is the section `twilio` of a target: for bots that check that Twilio calls.
type SocketTwilio struct {
	// The account's id at Twilio, AC and 32 hexadecimal digits, sent in start and stop.
	AccountSID string `key:"account_sid" is:"account-sid" required:"the id that the bot knows, AC and 32 hexadecimal digits"`
	// The account's auth token. It signs the upgrade (X-Twilio-Signature), and lets the bot end calls over
	// HTTP.
	AuthToken Secret `key:"auth_token_file"`

	// Signs says that there is an auth token, which is not read for explain.
	Signs bool
}

func (t *SocketTwilio) check(s section) { t.Signs = s.has("auth_token_file") }

// accountSID matches the id of an account at Twilio.
var accountSID = regexp.MustCompile(`^AC[0-9a-fA-F]{32}$`)

// gatewayURI is the Request-URI of a bot's call. Its values come from the gateway, which prepares each call.
const gatewayURI = `sip:{{.Prepare.JSON "user"}}@{{.Prepare.JSON "at"}}`

// socketID is the path of the id by which a bot and hooks know a call.
const socketID = "callSid"

// socketRing is how long a bot may take to open its WebSocket, unless ring_timeout says otherwise. A bot does not ring.
const socketRing = 30 * time.Second

// orderTimeout bounds how long the gateway may take to note a call, which takes microseconds.
const orderTimeout = time.Second

// foreignToSockets returns the keys that have no meaning for a bot: the gateway is on this machine, and a bot places no
// calls.
func foreignToSockets() []string {
	return []string{
		"region", "uri", "auth", "budget", "overflow", "account", "headers", "pass_headers", "ping",
		"media_sources", "media", "sources", "call_auth", "registrar", "rel100", "session_expires", "transfer", "transport",
	}
}

// Order returns the step before the INVITE by which a bot's call is left at the gateway. For other targets it is the
// only step, or nil.
func (t *Target) Order() *Prepare {
	if t.Prepare != nil && t.Prepare.order != nil {
		return t.Prepare.order
	}
	return t.Prepare
}

// Requests reports whether there is a request over HTTP before each call.
func (t *Target) Requests() bool {
	return t.Prepare != nil && (t.Kind != KindWebsocket || t.Prepare.order != nil)
}

// SampleOrder returns the order at the gateway for a made-up call, with the sample of the answer before it.
func (t *Target) SampleOrder() (Ask, error) {
	v := t.SampleVars()
	if t.Requests() {
		v.Prepare = t.Prepare.sample()
	}
	return t.Order().Ask(v)
}

// socket reads the keys of kind websocket, and makes a step before the INVITE of them. t.Prepare is the step before it,
// or nil.
func (t *Target) socket(s section) {
	use := templateUse{prepare: s.has("prepare"), without: noPrepareStep, sample: t.Prepare.sample()}
	at, members := s.socketURL(use), s.parameters(use)
	if t.Kind != KindWebsocket {
		s.onlyFor(KindWebsocket, []string{"url", "parameters", "twilio"})
		if v, ok := s.fields["token_file"]; ok {
			v.fail("is for kind "+KindWebsocket+" only", "write it below prepare, or below account where nothing is prepared")
		}
		return
	}
	for _, key := range foreignToSockets() {
		if v, ok := s.fields[key]; ok {
			v.fail("has no meaning for kind "+KindWebsocket, "remove it")
		}
	}
	s.require("url", `where the bot listens, like "wss://bot.example.com/media"`)
	p := &Prepare{
		kind: KindWebsocket, Method: http.MethodGet, Timeout: orderTimeout, OnFailure: onFailureNext,
		URL: at, Token: t.Token, Body: &jsonBody{part{object: true, members: members}},
		Example: json.RawMessage(`{"user":"` + strings.Repeat("0", 32) + `","at":"127.0.0.1:40000","callSid":"CA` +
			strings.Repeat("0", 32) + `"}`),
		answer: Answer{ID: socketID},
	}
	if p.URL == nil {
		return
	}
	if t.HasToken = s.has("token_file"); t.Prepare != nil {
		t.Prepare.order = p
	} else {
		t.Prepare = p
	}
	t.URI, _, _ = s.constant("uri", gatewayURI).template(templateUse{prepare: true, sample: p.sample()})
	s.onlyG711(t.Codecs)
	if !s.has("ring_timeout") {
		t.RingTimeout = socketRing
	}
	if !s.has("dtmf") {
		t.DTMF = DTMFRFC4733
	}
	if t.TLS != (TargetTLS{}) && !strings.HasPrefix(strings.ToLower(p.URL.Origin()), "wss") {
		s.fields["tls"].fail("has no effect over ws", "write a url with wss://, or remove it")
	}
}

// reachesGateway reports a bot that can't be called, because no address of sip.listen reaches the gateway on 127.0.0.1.
func (v value) reachesGateway() {
	reaches := func(sip *SIP) bool {
		return len(sip.Listen) == 0 || slices.ContainsFunc(sip.Listen, func(l Listener) bool {
			return l.Transport == TransportUDP && l.AddrPort.Addr().Is4()
		})
	}
	switch {
	case !reaches(&v.l.cfg.SIP):
		v.fail("is called over udp at 127.0.0.1, which sip.listen has no address for",
			"add udp://127.0.0.1:5060 to sip.listen, which only this machine reaches")
	case v.l.running != nil && !reaches(&v.l.running.SIP):
		v.fail("is called over udp at 127.0.0.1, which the process runs without", "restart it: sip counts from then on")
	}
}

// onlyG711 reports codecs that the gateway can't convert for a bot, which hears PCMU.
func (s section) onlyG711(codecs []string) {
	if slices.ContainsFunc(codecs, func(c string) bool { return c != "PCMU" && c != "PCMA" }) {
		s.fields["codecs"].fail("has more than PCMU and PCMA, which is all that a bot can be called with",
			"remove the others: Opus of the caller is converted anyway")
	}
}

// socketURL reads the URL of a bot.
func (s section) socketURL(use templateUse) *template.URL {
	sc, ok := s.get("url")
	if !ok {
		return nil
	}
	if c := parseSocketOrigin(template.OriginOf(sc.text)); !c.none() {
		sc.complain(c)
		return nil
	}
	return s.renderedURL(sc, use)
}

// parseSocketOrigin checks scheme and host of a bot's URL.
func parseSocketOrigin(origin string) complaint {
	const example = `write one like "wss://bot.example.com/media"`
	if strings.Contains(origin, "{{") {
		return refuse("has a template in its scheme or host, which are the same for every call",
			"write the host itself, and templates behind it")
	}
	u, err := url.Parse(origin)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil:
		return refuse("is not the URL of a WebSocket", example)
	case u.Scheme != "ws" && u.Scheme != "wss":
		return refuse("is not the URL of a WebSocket: it begins with "+u.Scheme+"://", example)
	case u.Scheme == "ws" && !isNear(u.Hostname()):
		return refuse("would send the call's audio over the internet without encryption",
			"write wss://, or the address of a machine nearby")
	case strings.EqualFold(u.Hostname(), "localhost"):
		return refuse("names this machine by a name, which DNS could lead elsewhere", "write 127.0.0.1")
	}
	return complaint{}
}

// isNear reports whether a host is an address of this machine or of a private network, or localhost.
func isNear(host string) bool {
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return strings.EqualFold(host, "localhost")
	}
	return ip.IsLoopback() || ip.IsPrivate() || ip.IsLinkLocalUnicast()
}

// parameters reads the customParameters of a bot. Values are templates, so they can't break the JSON around them.
func (s section) parameters(use templateUse) (all []bodyMember) {
	for _, e := range s.entriesOf("parameters") {
		if e.key == "resumed" {
			e.l.fail(e.line, e.path, "is a parameter that Flowbridge itself adds to a call that continues after a restart",
				"give it another name")
			continue
		}
		if t, _, ok := e.template(use); ok {
			all = append(all, bodyMember{e.key, part{path: "parameters." + e.key, text: t}})
		}
	}
	return all
}
