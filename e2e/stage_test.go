//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
)

// stage is the place of one test: its addresses, and what stands there.
type stage struct {
	*testing.T
	b2bua, carrier, platform, stranger netip.Addr

	server *server
	api    string // base URL of prepare_inbound
	agent  netip.AddrPort
}

var lastStage atomic.Uint32

// called is a number that the route takes; caller is who calls, in every
// scenario.
const (
	called = "+15075785607"
	caller = "+15075550100"
)

// newStage gives a test addresses that no other one has, and lets it run
// beside others.
func newStage(t *testing.T) *stage {
	t.Parallel()
	n := lastStage.Add(1)
	addr := func(role byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, role, byte(n)}) }
	if n > 250 {
		t.Fatal("more tests than addresses")
	}
	return &stage{T: t, b2bua: addr(1), carrier: addr(2), platform: addr(3), stranger: addr(4)}
}

// freePort gives a UDP port that is free on an address of this test's own, so
// that nobody else takes it meanwhile.
func (s *stage) freePort(addr netip.Addr) netip.AddrPort {
	s.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	if err != nil {
		s.Fatal(err)
	}
	defer conn.Close()
	return local(conn)
}

func local(conn *net.UDPConn) netip.AddrPort { return conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// setup is what a test's configuration has beyond the usual. Each field is
// YAML that is added within a flow mapping, so it begins with a comma.
type setup struct {
	sip, media, trunk, prepare, target, route string
	headers                                   string // instead of the usual X-EI
}

const usualHeaders = `{X-EI: "S.{{.Prepare.CallID}};"}`

// config is the whole configuration of the B2BUA.
func (s *stage) config(o setup) string {
	if o.headers == "" {
		o.headers = usualHeaders
	}
	return strings.NewReplacer(
		"@LISTEN@", netip.AddrPortFrom(s.b2bua, 0).String(), "@B2BUA@", s.b2bua.String(),
		"@CARRIER@", s.carrier.String(), "@AGENT@", s.agent.String(), "@API@", s.api,
		"@SIP+@", o.sip, "@MEDIA+@", o.media, "@TRUNK+@", o.trunk, "@PREPARE+@", o.prepare, "@TARGET+@", o.target, "@ROUTE+@", o.route,
		"@HEADERS@", o.headers,
	).Replace(`
sip: {listen: ["udp://@LISTEN@"]@SIP+@}
media: {listen: ["@B2BUA@"]@MEDIA+@}
trunks:
  - {name: carrier, sources: ["@CARRIER@"]@TRUNK+@}
targets:
  - {name: synthflow, kind: synthflow, uri: "sip:{{.To.Number}}@@AGENT@",
     prepare: {api: "@API@", token_env: E2E_TOKEN, workspace_id: "e2e", model_id: "agent"@PREPARE+@},
     headers: @HEADERS@@TARGET+@}
routes:
  - {trunk: carrier, to: "^\\+1507", targets: [synthflow]@ROUTE+@}
store: {path: calls.db}
admin: {listen: "127.0.0.1:0"}
log: {level: debug}
`)
}

// serve starts the B2BUA.
func (s *stage) serve(o setup) *server {
	s.Helper()
	s.server = startServer(s.T, s.TempDir(), s.config(o))
	return s.server
}

// to is the called party's URI at the B2BUA.
func (s *stage) to() string { return fmt.Sprintf("sip:%s@%s", called, s.server.sip) }
