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

// stage is the environment of one test: its addresses, and the programs there.
type stage struct {
	*testing.T
	b2bua, carrier, platform, stranger netip.Addr
	other                              netip.Addr // the B2BUA's address of the other family; usually invalid

	server *server
	api    string // base URL of prepare_inbound
	agent  netip.AddrPort

	seat *seat // the seat whose nodes take over from each other at each restart; nil if the server is a single node
}

var lastStage atomic.Uint32

// called is a number that the route takes. caller is the calling number in every scenario.
const (
	called = "+15075785607"
	caller = "+15075550100"
)

// newStage gives a test addresses that no other test has, and lets it run in parallel with others.
func newStage(t *testing.T) *stage {
	runIn(t, places)
	return newPlace(t)
}

// newPreparedStage is like newStage, with a platform that prepares calls.
func newPreparedStage(t *testing.T) *stage {
	t.Helper()
	s := newStage(t)
	s.prepareCalls()
	return s
}

// newQuietStage is like newStage, for a test that mostly listens. It does not wait for tests of other kinds.
func newQuietStage(t *testing.T) *stage {
	runIn(t, seats)
	return newPlace(t)
}

// runIn lets a test run in parallel with others once the room has a place. If the parts of a test take places, the test
// itself takes none.
func runIn(t *testing.T, room chan struct{}) {
	t.Parallel()
	room <- struct{}{}
	t.Cleanup(func() { <-room })
}

func newPlace(t *testing.T) *stage {
	n := lastStage.Add(1)
	addr := func(role byte) netip.Addr { return netip.AddrFrom4([4]byte{127, 0, role, byte(n)}) }
	if n > 250 {
		t.Fatal("more tests than addresses")
	}
	return &stage{T: t, b2bua: addr(1), carrier: addr(2), platform: addr(3), stranger: addr(4)}
}

// freePort returns a UDP port that is free on an address that only this test uses, so that no other program takes it.
func (s *stage) freePort(addr netip.Addr) netip.AddrPort {
	s.Helper()
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(addr, 0)))
	must(s, err)
	defer conn.Close()
	return local(conn)
}

func local(conn *net.UDPConn) netip.AddrPort { return conn.LocalAddr().(*net.UDPAddr).AddrPort() }

// setup has the additions to a test's usual configuration. Each field is YAML that is added to a flow mapping, so it
// begins with a comma.
type setup struct {
	media, trunk, prepare, target, route string
	headers                              string // replaces the usual X-EI
	recording                            string // the whole section; empty for none
	telemetry                            string // the whole section; empty for none
	webhooks                             string // the whole section; empty for none

	listen []string // URLs; if empty, UDP on the B2BUA's address
	sip    string
}

const usualHeaders = `{X-EI: "S.{{.Prepare.CallID}};"}`

// orElse adds a key to a flow mapping that does not have it.
func orElse(keys, key, value string) string {
	if strings.Contains(keys, " "+key+":") {
		return keys
	}
	return keys + ", " + key + ": " + value
}

// config returns the whole configuration of the B2BUA. Its limits are not reached even on a slow machine. A test that
// wants to reach one sets it.
func (s *stage) config(o setup) string {
	o.media = orElse(o.media, "timeout", "10m")
	o.prepare = orElse(o.prepare, "timeout", "1m")
	o.target = orElse(o.target, "first_response_timeout", "1m")
	if o.headers == "" {
		o.headers = usualHeaders
	}
	if o.recording != "" {
		o.recording = "recording: " + o.recording
	}
	if o.telemetry != "" {
		o.telemetry = "telemetry: " + o.telemetry
	}
	if o.webhooks != "" {
		o.webhooks = "webhooks: " + o.webhooks
	}
	if len(o.listen) == 0 {
		o.listen = []string{s.listener("udp", s.b2bua)}
	}
	listen, media := `"`+strings.Join(o.listen, `", "`)+`"`, s.b2bua.String()
	if s.other.IsValid() {
		media += `", "` + s.other.String()
	}
	return strings.NewReplacer(
		"@LISTEN@", listen, "@SIP+@", o.sip, "@MEDIA@", media,
		"@CARRIER@", s.carrier.String(), "@AGENT@", s.agent.String(), "@API@", s.api,
		"@MEDIA+@", o.media, "@TRUNK+@", o.trunk, "@PREPARE+@", o.prepare, "@TARGET+@", o.target, "@ROUTE+@", o.route,
		"@HEADERS@", o.headers, "@RECORDING@", o.recording, "@TELEMETRY@", o.telemetry,
		"@WEBHOOKS@", o.webhooks,
	).Replace(`
sip: {listen: [@LISTEN@], max_delay: 1m@SIP+@}
media: {listen: ["@MEDIA@"]@MEDIA+@}
trunks:
  - {name: carrier, sources: ["@CARRIER@"], first_response_timeout: 1m@TRUNK+@}
targets:
  - {name: synthflow, kind: synthflow, uri: "sip:{{.To.Number}}@@AGENT@",
     prepare: {api: "@API@", token_env: E2E_TOKEN, workspace_id: "e2e", model_id: "agent"@PREPARE+@},
     headers: @HEADERS@@TARGET+@}
routes:
  - {trunk: carrier, to: "^\\+1507", targets: [synthflow]@ROUTE+@}
store: {path: calls.db}
admin: {listen: "127.0.0.1:0"}
log: {level: debug}
@RECORDING@
@TELEMETRY@
@WEBHOOKS@
`)
}

// serve starts the B2BUA.
func (s *stage) serve(o setup) *server {
	s.Helper()
	if s.seat != nil {
		return s.seat.serve(s, o)
	}
	s.server = startPredecessor(s.T, s.TempDir(), s.config(o))
	s.server.targets = []uint16{s.agent.Port()}
	return s.server
}

// listener returns an element of sip.listen, with a port that the kernel chooses.
func (s *stage) listener(transport string, addr netip.Addr) string {
	return transport + "://" + netip.AddrPortFrom(addr, 0).String()
}

// to returns the called party's URI at the B2BUA.
func (s *stage) to() string { return fmt.Sprintf("sip:%s@%s", called, s.server.sip) }
