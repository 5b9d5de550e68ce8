package check

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"flowbridge/b2bua/locate"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
)

// finding is the result of one step for one target, or for a trunk that registers.
type finding struct {
	Target  string `json:"target"`
	Step    string `json:"step"` // api, agent, dns, tls, options; database; directory
	OK      bool   `json:"ok"`
	Skipped bool   `json:"skipped"`
	Detail  string `json:"detail"`
	Remedy  string `json:"remedy"`
}

func (f finding) text() string {
	mark := map[bool]string{true: "ok    ", false: "FAILED"}[f.OK]
	if f.Skipped {
		mark = "-     "
	}
	s := fmt.Sprintf("%s  %-20s %-8s %s", mark, f.Target, f.Step, f.Detail)
	if f.Remedy != "" {
		s += "; " + f.Remedy
	}
	return s
}

var errOffline = errors.New("not every target can be reached")

// prober tries targets in the way that calls use them, without placing a call.
type prober struct {
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	locate  func(ctx context.Context, q locate.Query) ([]locate.Hop, error) // if nil, lookup is used
	timeout time.Duration                                                   // for each step
}

const onlineTimeout = 5 * time.Second

func newProber() prober {
	names := locate.New(context.Background(), locate.Options{})
	return prober{
		locate:  func(ctx context.Context, q locate.Query) ([]locate.Hop, error) { return names.Locate(ctx, "", q) },
		timeout: onlineTimeout,
		lookup: func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		},
	}
}

// probe tries all targets at the same time. The findings are in the order of the file.
func (p prober) probe(ctx context.Context, cfg *config.Config) (all []finding) {
	found := make([][]finding, len(cfg.Targets)+len(cfg.Trunks))
	var wg sync.WaitGroup
	for i := range cfg.Targets {
		wg.Go(func() { found[i] = p.target(ctx, &cfg.Targets[i]) })
	}
	for i := range cfg.Trunks {
		if t := &cfg.Trunks[i]; t.Register != nil {
			wg.Go(func() { found[len(cfg.Targets)+i] = p.registrars(ctx, t) })
		}
	}
	wg.Wait()
	for _, f := range found {
		all = append(all, f...)
	}
	if cfg.Fleet.On() {
		all = append(all, p.fleet(ctx, &cfg.Fleet))
	}
	if cfg.SIP.TLS.ACME.On() {
		all = append(all, p.authority(ctx, &cfg.SIP.TLS.ACME))
	}
	return all
}

func (p prober) target(ctx context.Context, t *config.Target) (all []finding) {
	add := func(f finding) {
		f.Target = t.Name
		all = append(all, f)
	}
	if t.Kind == config.KindWebsocket {
		if t.Requests() {
			add(p.reach(ctx, t))
		}
		add(p.bot(ctx, t))
		return all
	}
	if t.Kind == config.KindHTTP {
		add(p.reach(ctx, t))
	} else if api, token, workspace, known := t.Platform(); known {
		f := p.api(ctx, t, api, token, workspace)
		add(f)
		if f.OK && t.Prepare != nil {
			all = append(all, p.agents(ctx, t, workspace)...)
		}
	} else if t.Kind != config.KindSIP {
		add(finding{
			Step: "api", OK: true, Skipped: true, Detail: "not tried: the target has no token",
			Remedy: "write account: {token_file: …} below it to have it tried; calls don't need it",
		})
	}
	uri, host, port, err := sampleURI(t)
	if err != nil {
		add(finding{Step: "dns", Detail: err.Error(), Remedy: "explain shows what a call would dial"})
		return all
	}
	if _, named := config.HostPort(uri); named == 0 && p.locate != nil {
		for _, f := range p.records(ctx, t, uri, host) {
			add(f)
		}
		return all
	}
	return append(all, p.host(ctx, t, uri, host, port)...)
}

// host looks up a host and asks it for an answer.
func (p prober) host(ctx context.Context, t *config.Target, uri, host string, port uint16) (all []finding) {
	if t.Transport == config.TransportAuto { // a URI with a port: RFC 3263 section 4.1
		by := *t
		by.Transport = config.TransportUDP
		t = &by
	}
	addrs, detail, remedy := p.resolve(ctx, host)
	all = append(all, finding{Target: t.Name, Step: "dns", OK: len(addrs) > 0, Detail: detail, Remedy: remedy})
	if len(addrs) > 0 {
		f := p.options(ctx, t, uri, host, netip.AddrPortFrom(first(addrs), port))
		f.Target = t.Name
		all = append(all, f)
	}
	return all
}

// registrars tries the registrar of a trunk, without registering: a registration would take calls from a
// running process.
func (p prober) registrars(ctx context.Context, t *config.Trunk) (all []finding) {
	hosts := t.Register.Registrars
	if t.Register.OutboundProxy != "" {
		hosts = []string{t.Register.OutboundProxy}
	}
	for _, at := range hosts {
		host, port := config.HostPort("sip:" + at)
		port = cmp.Or(port, defaultPort(t.Transport))
		all = append(all, p.host(ctx, t.Callee(), "sip:"+at, host, port)...)
	}
	return all
}

// records tries the addresses that the DNS records of a host without a port lead to (RFC 3263).
func (p prober) records(ctx context.Context, t *config.Target, uri, host string) []finding {
	found, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	hops, err := p.locate(found, locate.Query{Host: host, Transport: t.Transport})
	if err != nil {
		return []finding{{
			Step: "dns", Detail: err.Error(),
			Remedy: "check the spelling, and that /etc/resolv.conf names a server that this machine reaches" +
				replacement(host),
		}}
	}
	all := []finding{{Step: "dns", OK: true, Detail: host + " leads to " + cli.Joined(hops)}}
	for _, h := range hops[:min(len(hops), maxTried)] {
		by := *t
		by.Transport = h.Transport
		all = append(all, p.options(ctx, &by, uri, host, h.Addr))
	}
	return all
}

// maxTried is how many addresses of a name are tried.
const maxTried = 4

// first returns the address that calls use: IPv4 if there is one.
func first(addrs []netip.Addr) netip.Addr {
	for _, a := range addrs {
		if a.Unmap().Is4() {
			return a.Unmap()
		}
	}
	return addrs[0]
}

// sampleURI returns a URI that a call might dial, with its host and port.
func sampleURI(t *config.Target) (uri, host string, port uint16, err error) {
	uri, err = t.URI.Render(t.SampleVars())
	if err != nil {
		return "", "", 0, fmt.Errorf("uri gives nothing for a sample call: %w", err)
	}
	host, port = config.HostPort(uri)
	return uri, host, cmp.Or(port, defaultPort(t.Transport)), nil
}

// defaultPort returns the default port of a transport (RFC 3261 section 19.1.2).
func defaultPort(transport string) uint16 {
	if transport == config.TransportTLS {
		return 5061
	}
	return 5060
}

func (p prober) resolve(ctx context.Context, host string) (addrs []netip.Addr, detail, remedy string) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, host + " is an address", ""
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	addrs, err := p.lookup(ctx, host)
	if err == nil && len(addrs) > 0 {
		names := make([]string, len(addrs))
		for i, a := range addrs {
			names[i] = a.Unmap().String()
		}
		return addrs, host + " is " + strings.Join(names, ", "), ""
	}
	var dns *net.DNSError
	switch {
	case err == nil || errors.As(err, &dns) && dns.IsNotFound:
		return nil, "the name " + host + " has no address", "check the spelling" + replacement(host)
	case errors.As(err, &dns) && dns.IsTimeout || ctx.Err() != nil:
		return nil, "no name server answers about " + host, "does /etc/resolv.conf name one that this machine reaches?"
	}
	return nil, fmt.Sprintf("%s can't be looked up: %v", host, err),
		"does /etc/resolv.conf name a server that this machine reaches?"
}

// replacement returns the current host for a host from older documents.
func replacement(host string) string {
	if kind, r, ok := config.RegionOfHost(host); ok && kind == config.KindSynthflow && !strings.EqualFold(host, r.SIP) {
		return "; Synthflow's current documents name " + r.SIP + " instead: write region: " + r.Name
	}
	return ""
}

// options sends OPTIONS (RFC 3261 section 11). Any answer shows that the target is there.
func (p prober) options(ctx context.Context, t *config.Target, uri, host string, at netip.AddrPort) finding {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	f := finding{Step: "options"}
	conn, err := dialTarget(ctx, t, host, at)
	if err != nil {
		if t.Transport == config.TransportTLS && !errors.Is(err, syscall.ECONNREFUSED) && !isTimeout(err) {
			f.Step = "tls"
		}
		f.Detail, f.Remedy = connectProblem(t, at, err)
		return f
	}
	defer func() { _ = conn.Close() }()
	status, err := askOptions(ctx, conn, t.Transport, uri)
	if err != nil {
		f.Detail, f.Remedy = silenceProblem(t, host, at, err)
		return f
	}
	f.OK, f.Detail = true, fmt.Sprintf("%v answers over %s: %s", at, t.Transport, status)
	return f
}

// dialTarget opens a connection to a target, with TLS as for its calls.
func dialTarget(ctx context.Context, t *config.Target, host string, at netip.AddrPort) (net.Conn, error) {
	network := "tcp"
	if t.Transport == config.TransportUDP {
		network = "udp"
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, at.String())
	if err != nil || t.Transport != config.TransportTLS {
		return conn, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: cmp.Or(t.TLS.ServerName, host)}
	if err := Trust(cfg, t.TLS); err != nil {
		_ = conn.Close()
		return nil, err
	}
	secured := tls.Client(conn, cfg)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

// Trust adds the files of a target to a TLS configuration.
func Trust(cfg *tls.Config, files config.TargetTLS) error {
	if files.CA != "" {
		data, err := os.ReadFile(files.CA)
		if err != nil {
			return err
		}
		cfg.RootCAs = x509.NewCertPool()
		cfg.RootCAs.AppendCertsFromPEM(data)
	}
	if files.Cert != "" {
		pair, err := tls.LoadX509KeyPair(files.Cert, files.Key)
		if err != nil {
			return err
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return nil
}

func isTimeout(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

func connectProblem(t *config.Target, at netip.AddrPort, err error) (detail, remedy string) {
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var expired x509.CertificateInvalidError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("%v refuses connections", at), portHint(t, at)
	case isTimeout(err):
		return fmt.Sprintf("%v accepts no connection", at),
			"is a firewall in the way, or the port wrong" + documented(t, at) + "?"
	case errors.As(err, &unknown):
		return fmt.Sprintf("the certificate of %v is signed by an authority that is not trusted", at),
			"name the authority's file in tls.ca of the target"
	case errors.As(err, &name):
		return fmt.Sprintf("the certificate of %v is for another name: %v", at, err),
			"dial the name that it is for, or write it as tls.server_name"
	case errors.As(err, &expired):
		return fmt.Sprintf("the certificate of %v is not valid: %v", at, err), "is the clock of this machine right?"
	}
	return fmt.Sprintf("no connection to %v: %v", at, err), portHint(t, at)
}

// silenceProblem says why a connected target has not answered.
func silenceProblem(t *config.Target, host string, at netip.AddrPort, err error) (detail, remedy string) {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens at %v over %s", at, t.Transport), portHint(t, at)
	case errors.Is(err, errNotSIP):
		return fmt.Sprintf("the answer from %v is not SIP", at), portHint(t, at)
	case isTimeout(err):
		return fmt.Sprintf("no answer to OPTIONS from %v over %s", at, t.Transport),
			"some platforms answer only addresses on their allow-list, or a firewall drops it; " + portHint(t,
				at) + replacement(host)
	}
	return fmt.Sprintf("%v over %s: %v", at, t.Transport, err), "try transport: tcp, and look for a firewall in the way"
}

func portHint(t *config.Target, at netip.AddrPort) string {
	return "is the port right" + documented(t, at) + "?"
}

// documented returns the documented port of a platform, which is the same in all regions, if another port is
// dialled.
func documented(t *config.Target, at netip.AddrPort) string {
	regions := map[string][]config.Region{
		config.KindSynthflow: config.SynthflowRegions(),
		config.KindVapi:      config.VapiRegions(),
	}[t.Kind]
	if len(regions) == 0 || regions[0].PortFor(t.Transport) == at.Port() {
		return ""
	}
	transports := "UDP and TCP"
	if t.Transport == config.TransportTLS {
		transports = "TLS"
	}
	return fmt.Sprintf(" (the platform documents %d for %s)", regions[0].PortFor(t.Transport), transports)
}
