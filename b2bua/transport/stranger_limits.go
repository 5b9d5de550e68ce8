package transport

import (
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
)

// The answers to strangers a second: over UDP, where their addresses can be forged, and over connections; to INVITE,
// REGISTER, and all else. A flood of one kind does not touch the others.
const (
	strangerRate = 200 // to all, and as many to all that have proven themselves
	networkRate  = 20  // to one network: an IPv4 /24 or IPv6 /48, over connections an address
	provenRate   = 100 // to one address that has proven itself
)

// provenFor is how long an address counts as proven after its last right credentials, and maxProven how many do.
const (
	provenFor = 24 * time.Hour
	maxProven = 10_000
)

// strangerLimits bounds the answers to senders whom no trunk's address or certificate fits. A flood of one network, or
// of many that are forged, leaves the answers to addresses that have lately shown right credentials.
type strangerLimits struct {
	rates *peers.Rates // of networks, of addresses that have proven themselves, and of all

	mu     sync.Mutex // guards what follows
	proven map[netip.Addr]time.Time
}

func newStrangerLimits() *strangerLimits {
	return &strangerLimits{rates: peers.NewRates(), proven: map[netip.Addr]time.Time{}}
}

// allow reports whether a stranger's request may be answered, and counts the answer. proven: its address has proven
// itself.
func (s *strangerLimits) allow(transport string, method []byte, from netip.Addr) (ok, proven bool) {
	network, now := message.NetworkOf(from), time.Now()
	s.mu.Lock()
	at, proven := s.proven[network]
	s.mu.Unlock()
	var kind, stream byte
	switch string(method) {
	case "INVITE":
		kind = 1
	case "REGISTER":
		kind = 2
	}
	if message.IsStream(transport) {
		stream = 1
	}
	within := func(network netip.Addr, most int, lately byte) bool {
		all, addr := [...]byte{16: kind, 17: stream, 18: lately}, network.As16()
		key := all
		copy(key[:], addr[:])
		return s.rates.Allow(key[:], most, now) && s.rates.Allow(all[:], strangerRate, now)
	}
	proven = proven && now.Sub(at) < provenFor
	if proven && within(network, provenRate, 1) {
		return true, true
	}
	if !message.IsStream(transport) { // one who forges addresses has all of a network's
		bits := 24
		if network.Is6() {
			bits = 48
		}
		network = netip.PrefixFrom(network, bits).Masked().Addr()
	}
	return within(network, networkRate, 0), proven
}

// Prove notes that a request showed the credentials of a trunk: neither its connection nor its address is a stranger's.
func (s *Stack) Prove(req *sip.Request) {
	s.StreamOf(req).Prove()
	all, from, now := s.strangerLimits, message.NetworkOf(message.ParseSource(req.Source()).Addr()), time.Now()
	all.mu.Lock()
	defer all.mu.Unlock()
	for addr := range all.proven {
		if len(all.proven) < maxProven {
			break
		}
		delete(all.proven, addr)
	}
	all.proven[from] = now
}
