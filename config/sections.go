package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// config reads the whole tree. Trunks and targets come before the routes that name them.
func (l *loader) config(root value) *Config {
	s := root.section("sip", "media", "trunks", "targets", "routes", "recording", "sounds", "hooks", "store", "fleet", "admin", "log")
	cfg := &Config{
		SIP: s.sub("sip", "listen", "advertise", "local_networks", "tls", "drain_timeout", "max_delay", "auth_algorithms",
			"limits").sip(),
		Media: s.sub("media", "listen", "advertise", "ports", "engine", "timeout", "start_timeout", "dscp").media(),
		Store: s.sub("store", "path", "keep", "ladders").store(),
		Admin: s.sub("admin", "listen", "token_file").admin(),
		Log:   s.sub("log", "level", "format").log(),
	}
	cfg.Recording = s.recording()
	s.sub("fleet", "dsn_file").notYet("dsn_file")
	for _, v := range s.list("trunks") {
		t := v.trunk()
		switch {
		case !vouched(t, &cfg.SIP):
			v.fail("certificates are asked for, but nobody vouches for them", "name the authorities' PEM file in sip.tls.client_ca")
		case l.running != nil && !vouched(t, &l.running.SIP):
			v.fail("certificates are asked for, but the process runs without sip.tls.client_ca", "restart it: sip counts from then on")
		}
		if t.URI != nil {
			v.callable(t.Transport, &cfg.SIP)
		}
		cfg.Trunks = append(cfg.Trunks, t)
	}
	for _, v := range s.list("targets") {
		t := v.target()
		v.callable(t.Transport, &cfg.SIP)
		cfg.Targets = append(cfg.Targets, t)
	}
	cfg.Sounds = s.sounds()
	for _, v := range s.list("routes") {
		cfg.Routes = append(cfg.Routes, v.route())
	}
	cfg.Hooks = s.hooks(cfg.Admin.Listen)
	s.twilioTakes(cfg)
	return cfg
}

// vouched says whether there are authorities for the certificates that a trunk asks for.
func vouched(t Trunk, sip *SIP) bool { return len(t.Certificates) == 0 || sip.TLS.ClientCA != "" }

// callable reports a target or trunk that there is no address to call from.
func (v value) callable(transport string, sip *SIP) {
	switch {
	case !calls(transport, sip):
		v.fail("is called over udp, which sip.listen has no address for", "write transport: tcp, or add udp://0.0.0.0:5060 to sip.listen")
	case v.l.running != nil && !calls(transport, &v.l.running.SIP):
		v.fail("is called over udp, which the process runs without", "write transport: tcp, or restart it: sip counts from then on")
	}
}

// calls says whether there is an address to call from. A list that is empty is reported as such.
func calls(transport string, sip *SIP) bool {
	return transport != TransportUDP || len(sip.Listen) == 0 || listens(sip.Listen, TransportUDP)
}

func (s section) sip() SIP {
	sip := SIP{
		Advertise:      one(s, "advertise", "", parseAdvertiseHost),
		LocalNetworks:  each(s, "local_networks", parsePrefix),
		DrainTimeout:   s.duration("drain_timeout", time.Minute),
		MaxDelay:       s.duration("max_delay", 500*time.Millisecond),
		AuthAlgorithms: []string{"SHA-256", "MD5"},
		Limits: s.sub("limits", "message", "headers", "header", "body", "sdp", "connections", "connections_per_source",
			"setups").limits(),
	}
	if s.has("auth_algorithms") {
		sip.AuthAlgorithms = each(s, "auth_algorithms", parseAlgorithm)
		s.notEmpty("auth_algorithms")
	}
	if s.has("listen") {
		sip.Listen = each(s, "listen", oneOfKind(parseListener, func(l Listener) string { return l.Transport + " " + family(l.AddrPort.Addr()) }))
		s.notEmpty("listen")
	} else {
		any4 := netip.AddrPortFrom(netip.IPv4Unspecified(), 5060)
		sip.Listen = []Listener{{Transport: TransportUDP, AddrPort: any4}}
	}
	s.advertisable(sip.Advertise, func(v4 bool) bool {
		return slices.ContainsFunc(sip.Listen, func(l Listener) bool { return l.AddrPort.Addr().Is4() == v4 })
	})
	sip.TLS = s.sub("tls", "cert", "key", "client_ca").listenTLS(listens(sip.Listen, TransportTLS))
	return sip
}

// listens says whether there is an address of a transport.
func listens(all []Listener, transport string) bool {
	return slices.ContainsFunc(all, func(l Listener) bool { return l.Transport == transport })
}

// oneOfKind wraps a parser of list elements: a process sends from one address of each kind.
func oneOfKind[T comparable](parse func(string) (T, complaint), kind func(T) string) func(string) (T, complaint) {
	taken := map[string]T{}
	return func(text string) (T, complaint) {
		got, c := parse(text)
		if !c.none() {
			return got, c
		}
		k := kind(got)
		if first, more := taken[k]; more && first != got {
			return got, refuse("is a second address for "+k, "keep one of them")
		}
		taken[k] = got
		return got, complaint{}
	}
}

func family(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

// advertisable reports an address to advertise that no peer would be told: peers are told one of their own family.
func (s section) advertisable(advertise string, listens func(v4 bool) bool) {
	if addr, err := netip.ParseAddr(advertise); err == nil && !listens(addr.Is4()) {
		s.fields["advertise"].fail("is of an address family that listen has no address of", "write an address of the other family, or listen on this one too")
	}
}

// notEmpty reports a list without elements.
func (s section) notEmpty(key string) {
	v, ok := s.fields[key]
	if ok {
		v, ok = v.resolve() // an alias may stand for an empty one, too
	}
	if ok && v.node.Kind == yaml.SequenceNode && len(v.node.Content) == 0 {
		v.fail("is an empty list", "write at least one")
	}
}

// notYet reports keys that have a value although this version does not do what they ask for.
func (s section) notYet(keys ...string) {
	for _, k := range keys {
		if s.filled(k) {
			s.fields[k].fail("this version does not have "+s.path, "remove it, or leave it empty")
		}
	}
}

func (s section) media() Media {
	ports := one(s, "ports", portRange{10000, 32767}, parsePorts)
	m := Media{
		Advertise:    one(s, "advertise", "", parseAdvertise),
		PortLow:      ports.low,
		PortHigh:     ports.high,
		Engine:       s.choice("engine", EngineAuto, EngineAuto, EngineKernel, EngineUserspace),
		Timeout:      s.duration("timeout", 30*time.Second),
		StartTimeout: s.duration("start_timeout", 30*time.Second),
		DSCP:         one(s, "dscp", 0, parseDSCP),
	}
	if m.Engine == EngineKernel {
		s.fields["engine"].fail("this version does not have the kernel engine", "write auto or userspace")
	}
	m.Listen = s.mediaListen()
	s.advertisable(m.Advertise, func(v4 bool) bool {
		return slices.ContainsFunc(m.Listen, func(l MediaListener) bool { return l.Addr.Is4() == v4 })
	})
	s.advertisedOnce(&m)
	s.l.media = m.Listen
	return m
}

// maxCap bounds max_calls and max_cps: a slip of the finger, not a machine.
const maxCap = 1_000_000

// name reads a name and reports one that is taken.
func (s section) name(what string, taken map[string]bool) string {
	return one(s, "name", "", func(t string) (string, complaint) {
		got, c := parseName(t)
		if !c.none() {
			return "", c
		}
		if taken[got] {
			return "", refuse("is the name of another "+what+" already", "give each "+what+" its own name")
		}
		taken[got] = true
		return got, complaint{}
	})
}

func (s section) store() Store {
	st := Store{
		Path:    one(s, "path", "flowbridge.db", parseStorePath),
		Keep:    s.duration("keep", 90*day),
		Ladders: s.duration("ladders", 7*day),
	}
	return st
}

func (s section) admin() Admin {
	a := Admin{Listen: one(s, "listen", netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 8080), parseAddrPort)}
	if s.filled("token_file") {
		a.Token = s.secretFile("token_file")
		return a
	}
	if !a.Listen.Addr().Unmap().IsLoopback() {
		s.fields["listen"].fail("is not a loopback address, so anybody who reaches it could read the calls",
			"write token_file below admin, or listen on 127.0.0.1")
	}
	return a
}

func (s section) log() Log {
	return Log{
		Level:  s.choice("level", "info", "debug", "info", "warn", "error"),
		Format: s.choice("format", FormatJSON, FormatJSON, FormatConsole),
	}
}

// describe shows a template's complaint without what the environment put into it.
func (s scalar) describe(err error) string {
	if s.fromEnv {
		return "cannot be used"
	}
	return fmt.Sprintf("cannot be used: %.200s", err.Error())
}
