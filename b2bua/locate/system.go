package locate

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// The files of the system's resolver, and how often they are reread.
const (
	resolvConf  = "/etc/resolv.conf"
	hostsFile   = "/etc/hosts"
	rereadEvery = 5 * time.Second
)

const (
	serverTimeout = time.Second // for one query to one server
	rounds        = 2           // through all servers
	maxServers    = 3           // as in libc
	udpSize       = 1232        // answers up to this size are not fragmented
	maxHosts      = 1 << 20     // bytes of /etc/hosts
)

// system holds the name servers and hosts of this machine.
type system struct {
	conf, file string // constant

	mu      sync.Mutex // guards the fields below
	readAt  time.Time
	servers []string // address:port
	hosts   map[string][]netip.Addr
}

func newSystem() *system { return &system{conf: resolvConf, file: hostsFile} }

// reread reads the files again if the last time was a while ago.
func (s *system) reread() ([]string, map[string][]netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.readAt.IsZero() || now.Sub(s.readAt) >= rereadEvery {
		s.readAt = now
		s.servers = []string{"127.0.0.1:53"} // resolv.conf(5): the default is the local machine
		if c, err := dns.ClientConfigFromFile(s.conf); err == nil && len(c.Servers) > 0 {
			s.servers = nil
			for _, at := range c.Servers[:min(len(c.Servers), maxServers)] {
				s.servers = append(s.servers, net.JoinHostPort(at, cmp.Or(c.Port, "53")))
			}
		}
		s.hosts = nil
		if text, err := os.ReadFile(s.file); err == nil && len(text) <= maxHosts {
			s.hosts = readHosts(text)
		}
	}
	return s.servers, s.hosts
}

// readHosts reads a file like /etc/hosts.
func readHosts(text []byte) map[string][]netip.Addr {
	all := map[string][]netip.Addr{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		a, err := netip.ParseAddr(fields[0])
		if err != nil || a.Zone() != "" {
			continue
		}
		for _, name := range fields[1:] {
			all[plain(name)] = append(all[plain(name)], a.Unmap())
		}
	}
	return all
}

// ask answers from the hosts file, or asks the name servers in turn.
func (s *system) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	servers, hosts := s.reread()
	if own := hosts[plain(name)]; len(own) > 0 && (kind == dns.TypeA || kind == dns.TypeAAAA) {
		return hostsAnswer(name, kind, own), nil
	}
	if _, valid := dns.IsDomainName(name); !valid {
		return nil, errors.New("not a domain name")
	}
	q := new(dns.Msg).SetQuestion(name, kind)
	q.SetEdns0(udpSize, false)
	var last error
	for range rounds {
		for _, at := range servers {
			m, err := exchange(ctx, q, at)
			if err == nil {
				return m, nil
			}
			if last = err; ctx.Err() != nil {
				return nil, last
			}
		}
	}
	return nil, last
}

// exchange asks one name server, over TCP if the answer is too large for UDP.
func exchange(ctx context.Context, q *dns.Msg, at string) (*dns.Msg, error) {
	q.Id = dns.Id()
	for _, network := range []string{"udp", "tcp"} {
		c := dns.Client{Net: network, Timeout: serverTimeout, UDPSize: udpSize}
		m, _, err := c.ExchangeContext(ctx, q, at)
		switch {
		case err != nil:
			return nil, fmt.Errorf("name server %s: %w", at, err)
		case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
			return nil, fmt.Errorf("name server %s: %s", at, dns.RcodeToString[m.Rcode])
		case len(m.Question) != 1 || m.Question[0].Qtype != q.Question[0].Qtype ||
			plain(m.Question[0].Name) != plain(q.Question[0].Name):
			return nil, fmt.Errorf("name server %s answers another question", at)
		case !m.Truncated:
			return m, nil
		}
	}
	return nil, fmt.Errorf("name server %s: the answer is truncated over TCP, too", at)
}

// hostsAnswer returns an answer made from the hosts file.
func hostsAnswer(name string, kind uint16, own []netip.Addr) *dns.Msg {
	m := new(dns.Msg)
	for _, a := range own {
		h := dns.RR_Header{Name: name, Rrtype: kind, Class: dns.ClassINET, Ttl: uint32(rereadEvery / time.Second)}
		switch {
		case a.Is4() && kind == dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: h, A: a.AsSlice()})
		case a.Is6() && kind == dns.TypeAAAA:
			m.Answer = append(m.Answer, &dns.AAAA{Hdr: h, AAAA: a.AsSlice()})
		}
	}
	return m
}
