package transport

import (
	"net/netip"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
)

// These rates limit how many answers strangers get per second. UDP, where addresses can be forged, is counted
// separately from connections. INVITE, REGISTER and all other methods are counted separately as well, so a flood of one
// kind does not affect the others.
const (
	strangerRate = 200 // to all strangers; also, separately, to all proven addresses together
	networkRate  = 20  // to one network: an IPv4 /24 or IPv6 /48; over connections, to one address
	provenRate   = 100 // to one address that has proven itself
)

// provenFor is how long an address counts as proven after its last right credentials. maxProven bounds the number of
// proven addresses.
const (
	provenFor = 24 * time.Hour
	maxProven = 10_000
)

// strangerLimits limits the rate of answers to senders that match no trunk's address or certificate. During a flood
// from one network, or from many forged networks, addresses that have lately shown right credentials still get their
// answers.
type strangerLimits struct {
	rates *peers.Rates // rates of networks, of proven addresses, and of all together

	mu     sync.Mutex // guards the fields below
	proven map[netip.Addr]time.Time
}

func newStrangerLimits() *strangerLimits {
	return &strangerLimits{rates: peers.NewRates(), proven: map[netip.Addr]time.Time{}}
}

// allow reports whether a stranger's request may be answered, and counts the answer. proven reports whether the address
// has shown right credentials within provenFor.
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
	if !message.IsStream(transport) { // over UDP, an attacker can forge every address of a network
		bits := 24
		if network.Is6() {
			bits = 48
		}
		network = netip.PrefixFrom(network, bits).Masked().Addr()
	}
	return within(network, networkRate, 0), proven
}

// Prove notes that a request has shown a trunk's credentials: its connection and its address no longer count as a
// stranger's.
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
