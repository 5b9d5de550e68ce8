package config

import (
	"fmt"
	"maps"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// doubts collects what is valid in a file but probably a mistake: it has no effect, or another one than it seems. They
// become Config.Warnings.
type doubts struct {
	cfg  *Config
	root value
	all  Errors
}

// doubtsOf returns the doubts about a file without errors.
func doubtsOf(cfg *Config, root value) Errors {
	d := &doubts{cfg: cfg, root: root}
	d.numbers()
	d.networks()
	d.within()
	d.codecs()
	d.addresses()
	d.loopback()
	d.platforms()
	d.ports()
	d.tokens()
	d.xei()
	d.routes()
	d.unmatched()
	d.accounts()
	d.times()
	d.variables()
	d.queues()
	d.shared()
	d.idle()
	d.certificates()
	d.bots()
	d.browsers()
	return d.all.sorted()
}

var pathPart = regexp.MustCompile(`[^.\[\]]+`)

// find returns the value at a path like routes[1].to, or the last one on the way there.
func (d *doubts) find(path string) value {
	at := d.root
	for _, part := range pathPart.FindAllString(path, -1) {
		n := at.node
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		var next *yaml.Node
		if i, err := strconv.Atoi(part); n.Kind == yaml.SequenceNode && err == nil && i < len(n.Content) {
			next = n.Content[i]
		}
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == part {
				next = n.Content[i+1]
			}
		}
		if next == nil {
			break
		}
		at.node = next
	}
	at.path = path
	return at
}

func (d *doubts) warn(path, problem, remedy string) {
	at := d.find(path)
	d.all = append(d.all, Error{File: at.l.file, Line: at.node.Line, Path: path, Problem: problem, Remedy: remedy})
}

// warnOf is warn with the value, as written in the file, before the problem.
func (d *doubts) warnOf(path, problem, remedy string) {
	at := d.find(path)
	d.warn(path, scalar{value: at, raw: at.node.Value}.quoted()+" "+problem, remedy)
}

// numbers warns of expressions that match more than they seem to.
func (d *doubts) numbers() {
	for i := range d.cfg.Routes {
		r := &d.cfg.Routes[i]
		d.expressions(fmt.Sprintf("routes[%d]", i), r.To, r.From)
	}
	if h := d.cfg.Hooks.Twilio; h != nil {
		for i, r := range h.Rules {
			d.expressions(fmt.Sprintf("hooks.twilio.rules[%d]", i), r.To, r.From)
		}
	}
	if h := d.cfg.Hooks.Vapi; h != nil {
		for i := range h.Rules {
			d.expressions(fmt.Sprintf("hooks.vapi.rules[%d]", i), h.Rules[i].To, h.Rules[i].From)
		}
	}
	for i := range d.cfg.Trunks {
		if o := d.cfg.Trunks[i].Originate; o != nil {
			path := fmt.Sprintf("trunks[%d].originate", i)
			d.callable(path+".numbers", "lets requests call", o.Numbers)
			d.callable(path+".from", "lets requests call as", o.From)
			if len(o.From) == 0 {
				d.warn(path, "has no from: requests may call as any number, somebody else's too",
					`write the numbers that are yours, like from: [`+sampleNumbers+"]")
			}
		}
	}
	for i := range d.cfg.Targets {
		d.callable(fmt.Sprintf("targets[%d].transfer_numbers", i), "lets the target call", d.cfg.Targets[i].TransferNumbers)
	}
}

// callable warns of numbers in a list that may be called without further checks.
func (d *doubts) callable(path, lets string, all []*Numbers) {
	for i, n := range all {
		at := fmt.Sprintf("%s[%d]", path, i)
		if n.every {
			d.warnOf(at, lets+" every number there is, premium ones too", "name the numbers, like "+sampleNumbers)
			continue
		}
		d.expression(at, n)
	}
}

func (d *doubts) expressions(path string, to, from *Numbers) {
	d.expression(path+".to", to)
	d.expression(path+".from", from)
}

func (d *doubts) expression(path string, n *Numbers) {
	if n != nil && holdsDialplan(n.String()) {
		d.warnOf(path, "has X, Z or N as in a dialplan, and here they stand for themselves",
			"write [0-9] for X, [1-9] for Z and [2-9] for N")
		return
	}
	if n == nil || n.every || n.begins && n.ends {
		return
	}
	problem := "does not end with $, so it matches whatever follows"
	switch {
	case !n.begins && !n.ends:
		problem = "has neither ^ nor $ around it, so it matches in the middle of a number"
	case !n.begins:
		problem = "does not begin with ^, so it matches whatever comes before"
	}
	d.warnOf(path, problem, "write it like "+sampleNumbers)
}

// networks warns of networks that are too large to belong to one peer.
func (d *doubts) networks() {
	const noAddress = "write the networks that the peer names; a peer without fixed addresses shows credentials instead of sources"
	peer := func(kind string, i int, sources []Source, media []netip.Prefix) {
		path := fmt.Sprintf("%ss[%d]", kind, i)
		d.wide(path+".sources", prefixes(sources), "anybody there may call as this "+kind, noAddress)
		d.wide(path+".media_sources", media, "RTP of anybody there is believed",
			"write the networks that the peer's RTP comes from")
	}
	for i := range d.cfg.Trunks {
		peer("trunk", i, d.cfg.Trunks[i].Sources, d.cfg.Trunks[i].MediaSources)
	}
	for i := range d.cfg.Targets {
		peer("target", i, d.cfg.Targets[i].Sources, d.cfg.Targets[i].MediaSources)
	}
	d.wide("sip.local_networks", d.cfg.SIP.LocalNetworks, "peers there are not told the advertised address",
		"write the networks on this side of the NAT, like 192.168.0.0/16")
}

// The shortest prefixes of a network owned by one organisation.
const (
	widest4 = 8
	widest6 = 16
)

// prefixes returns the networks of sources.
func prefixes(sources []Source) (all []netip.Prefix) {
	for _, s := range sources {
		all = append(all, s.Prefix)
	}
	return all
}

func (d *doubts) wide(path string, all []netip.Prefix, so, remedy string) {
	for i, p := range all {
		what := ""
		switch {
		case p.Bits() == 0:
			what = "is every address there is"
		case p.Addr().Is4() && p.Bits() < widest4, p.Addr().Is6() && p.Bits() < widest6:
			what = "is larger than any organisation's network"
		default:
			continue
		}
		d.warnOf(fmt.Sprintf("%s[%d]", path, i), what+": "+so, remedy)
	}
}

// within warns of networks inside another caller's, where only the longer prefix tells the two apart.
func (d *doubts) within() {
	claims := d.root.l.sources
	for _, key := range slices.Sorted(maps.Keys(claims)) {
		text, open := strings.CutSuffix(key, " "+claimOpen)
		in, err := netip.ParsePrefix(text)
		for bits := in.Bits() - 1; open && err == nil && bits >= widest4; bits-- {
			outer, _ := in.Addr().Prefix(bits)
			if other, ok := claims[outer.String()+" "+claimOpen]; ok && other != claims[key] {
				d.warn(claims[key]+".sources", fmt.Sprintf("%v lies within %v of %s: calls from there are not those of %[3]s", in, outer,
					other), "keep it if that is meant; else correct one of the two networks")
				break
			}
		}
	}
}

// codecs warns of codec lists without any codec of a trunk whose calls they apply to. The two laws of G.711 count as
// one, and Opus as one with both where it is made of them.
func (d *doubts) codecs() {
	g711 := func(codec string) bool {
		return codec == "PCMU" || codec == "PCMA" || codec == "opus" && d.cfg.Media.Transcode != transcodeOff
	}
	for i := range d.cfg.Routes {
		r := &d.cfg.Routes[i]
		for j := range d.cfg.Trunks {
			c := &d.cfg.Trunks[j]
			shared := func(codec string) bool {
				return slices.Contains(c.Codecs, codec) || g711(codec) && slices.ContainsFunc(c.Codecs, g711)
			}
			for k := range d.cfg.Targets {
				t := &d.cfg.Targets[k]
				if r.Target == "" && (r.Trunk == "" || r.Trunk == c.Name) && slices.Contains(r.Targets, t.Name) &&
					!slices.ContainsFunc(t.Codecs, shared) {
					d.warn(fmt.Sprintf("targets[%d].codecs", k),
						fmt.Sprintf("has none of %s, which calls of %s have: they get 488, because no codec is changed into these",
							strings.Join(c.Codecs, ", "), c.Name),
						"add one of them; or write in codecs of "+c.Name+" what it really offers")
					return // one is enough to show the problem
				}
			}
		}
	}
}

// addresses warns of a public address for only one of SIP and RTP.
func (d *doubts) addresses() {
	sip, media := d.cfg.SIP.Advertise, d.cfg.Media.Advertise
	named := media != "" || slices.ContainsFunc(d.cfg.Media.Listen,
		func(l MediaListener) bool { return l.Advertise.IsValid() })
	bound := slices.ContainsFunc(d.cfg.Media.Listen, func(l MediaListener) bool {
		return !l.Addr.IsUnspecified() && (!l.Addr.IsPrivate() || l.Addr.String() == sip)
	})
	switch {
	case sip != "" && !named && !bound:
		d.warn("sip.advertise",
			"stands without media.advertise: SDP has the interface's own address, and a peer on the other side of a NAT sends its RTP to nowhere",
			"write the public address in media.advertise, too, or in media.listen if this machine has it")
	case sip == "" && media != "" && !slices.ContainsFunc(d.cfg.SIP.Listen,
		func(l Listener) bool { return l.AddrPort.Addr().String() == media }):
		d.warn("media.advertise",
			"stands without sip.advertise: Via and Contact have the interface's own address, which a peer on the other side of a NAT can't reach",
			"write the public address in sip.advertise, too")
	}
}

// fewCalls is room for too few calls to be intended.
const fewCalls = 10

// ports warns of too few ports.
func (d *doubts) ports() {
	m := &d.cfg.Media
	for _, l := range d.cfg.SIP.Listen {
		if port := l.AddrPort.Port(); l.Transport == TransportUDP && m.PortLow <= port && port <= m.PortHigh {
			low, high := m.PortLow, port-1
			if port-m.PortLow < m.PortHigh-port {
				low, high = port+1, m.PortHigh
			}
			d.warn("media.ports", fmt.Sprintf("has the port of sip.listen %v, too", l),
				fmt.Sprintf(`write a range without it, like "%d-%d"`, low, high))
		}
	}
	calls := m.Calls()
	shares := d.shares(calls)
	for i := range d.cfg.Trunks {
		kept := 0
		if d.cfg.Trunks[i].URI == nil { // the calls to a trunk are in the shares of others
			kept = sum(shares) - shares[i]
		}
		if d.tooFew(fmt.Sprintf("trunks[%d].max_calls", i), d.cfg.Trunks[i].MaxCalls, calls, kept) {
			return
		}
	}
	for i := range d.cfg.Targets {
		if d.tooFew(fmt.Sprintf("targets[%d].max_calls", i), d.cfg.Targets[i].MaxCalls, calls, 0) {
			return
		}
	}
	if calls < fewCalls {
		d.warn("media.ports", fmt.Sprintf("has room for %s at a time; further ones get 503", counted(calls)),
			`write a larger range, four ports for each call, like "10000-32767"`)
	}
}

// shares returns how many calls with ports are kept for each trunk, followed by those for each target that may call.
func (d *doubts) shares(calls int) (all []int) {
	for i := range d.cfg.Trunks {
		all = append(all, d.cfg.Trunks[i].MaxCalls)
	}
	for i := range d.cfg.Targets {
		if t := &d.cfg.Targets[i]; t.MayCall() {
			all = append(all, t.Caller().MaxCalls)
		}
	}
	fair := FairShare(calls, len(all))
	for i, most := range all {
		if most == 0 || most > fair { // 0 means no cap
			all[i] = fair
		}
	}
	return all
}

func sum(all []int) (n int) {
	for _, one := range all {
		n += one
	}
	return n
}

// tooFew warns of a cap in the file that the calls can't reach, because the ports of others are kept free.
func (d *doubts) tooFew(key string, most, calls, kept int) bool {
	if most <= calls-kept || !d.written(key) {
		return false
	}
	problem := fmt.Sprintf("has room for %s at a time", counted(calls))
	if kept > 0 {
		problem += fmt.Sprintf(", %d of which are kept for other trunks", kept)
	}
	d.warn("media.ports", problem+fmt.Sprintf(", and %s is %d", key, most),
		"write a larger range, four ports for each call, or a smaller cap")
	return true
}

func counted(calls int) string {
	if calls == 1 {
		return "one call"
	}
	return strconv.Itoa(calls) + " calls"
}

// tokens warns of tokens that are sent where others may read them.
func (d *doubts) tokens() {
	for i := range d.cfg.Targets {
		for key, api := range d.cfg.Targets[i].apis() {
			u, err := url.Parse(*api)
			if err == nil && u.Scheme == "http" && !loopbackHost(u.Hostname()) {
				d.warnOf(fmt.Sprintf("targets[%d].%s.api", i, key), "sends the token unencrypted to another machine", "write https")
			}
		}
	}
	if a := d.cfg.Admin.Listen.Addr(); a.IsValid() && !a.Unmap().IsLoopback() { // then there is a token
		d.warnOf("admin.listen", "takes its token over plain HTTP, which can be read on the way",
			"listen on 127.0.0.1, behind a proxy with a certificate")
	}
	h := &d.cfg.Hooks
	open := !h.Listen.Addr().Unmap().IsLoopback() // then there is a token
	if open && h.TLS.Cert == "" && (h.Vapi != nil || h.Variables != nil) {
		d.warnOf("hooks.listen", "takes tokens over plain HTTP, which can be read on the way",
			"write hooks.tls, or listen on 127.0.0.1 behind a proxy with a certificate")
	}
}

func loopbackHost(host string) bool {
	a, err := netip.ParseAddr(host)
	return err == nil && a.Unmap().IsLoopback() || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// emptyToken matches a token of X-EI without a value.
var emptyToken = regexp.MustCompile(`(^|;)\s*[SEO]\.\s*(;|$)`)

// xei warns of X-EI values with an empty token for a call that has neither Diversion nor further headers, and of ids
// from a prepare step that the platform would take for another's.
func (d *doubts) xei() {
	for i := range d.cfg.Targets {
		t := &d.cfg.Targets[i]
		for _, h := range t.Headers {
			v := t.SampleVars()
			v.Diversion, v.HeaderFunc = "", nil
			text, err := h.Value.Render(v)
			if err != nil || !strings.EqualFold(h.Name, "X-EI") {
				continue
			}
			path := fmt.Sprintf("targets[%d].headers.%s", i, h.Name)
			if v.Prepare != nil && strings.TrimSpace(text) == v.Prepare.CallID {
				d.warnOf(path, "gives the id of the prepare step without S. before it and ; behind it: the platform takes it for an external id, not for its call",
					`write "S.{{.Prepare.CallID}};"`)
			}
			if emptyToken.MatchString(text) {
				d.warnOf(path, "has an empty token for a call without Diversion, or without a header that it names",
					`write {{xei "O" .Diversion}} for O.{{.Diversion}}; it gives nothing where there is no value`)
			}
		}
	}
}

// shared warns of what does not work with several nodes, such as a webhook of OpenAI, which has one URL for a project.
func (d *doubts) shared() {
	f, a := &d.cfg.Fleet, &d.cfg.Admin
	if f.On() && unsureDSN(f.DSN.Reveal()) {
		d.warn("fleet.dsn_file", "names a database on another machine without sslmode=verify-full: who is on the way there can read and change all that the fleet has in it",
			"add sslmode=verify-full to the URL, and sslrootcert=FILE if an authority of your own signed the certificate")
	}
	if f.On() && !f.Takeover.On() && len(f.Nodes) == 0 && (a.Token != "" || len(a.Tokens) > 0) {
		d.warn("fleet", "has no nodes: this node does not fetch ladders and recordings of other nodes, because only the database says where a token would go",
			"write the admin.listen of the other nodes in fleet.nodes, like [\"192.0.2.12:8080\"]")
	}
	if d.cfg.Fleet.On() && d.cfg.Hooks.OpenAI != nil {
		d.warn("hooks.openai",
			"stands in a fleet: a node rejects each call that another node has sent to OpenAI, because it does not know it",
			"give each node an OpenAI project of its own, with a webhook that leads to this node alone, or let one node alone send calls to OpenAI")
	}
}

// idle warns of trunks without a route.
func (d *doubts) idle() {
	for i := range d.cfg.Trunks {
		name := d.cfg.Trunks[i].Name
		if len(d.cfg.Routes) > 0 && !slices.ContainsFunc(d.cfg.Routes, func(r Route) bool {
			return r.Target == "" && (r.Trunk == "" || r.Trunk == name) || slices.Contains(r.Trunks, name)
		}) {
			d.warn(fmt.Sprintf("trunks[%d]", i), "has no route: each of its calls gets 404",
				"add a route with its name in trunk, or remove it")
		}
	}
}

// written reports whether the file has a key.
func (d *doubts) written(path string) bool {
	section, key := "", path
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		section, key = path[:dot], path[dot+1:]
	}
	n := d.find(section).node
	for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}
