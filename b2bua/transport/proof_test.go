package transport

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"

	"flowbridge/b2bua/peers"
	"flowbridge/config"
	"flowbridge/internal/memnet"
	"flowbridge/sim/siptest"
)

// TestProof: a listener with a proof reads no message before it. With it, the sender is the trunk that asks for it,
// wherever it comes from; at another listener, or without it, it is a stranger. Peers are given other listeners.
func TestProof(t *testing.T) {
	const proven, open, proof = "127.83.0.1:5098", "198.51.100.1:5060", "PROOF-OF-THIS-PROCESS"
	yaml := strings.NewReplacer(`"tcp://`+open+`"`, `"tcp://`+proven+`"`, `{name: carrier, sources: ["192.0.2.10"]}`, `{name: browser, browser: true}`).
		Replace(stackConfig)
	synctest.Test(t, func(t *testing.T) {
		sw := memnet.New()
		h := newHost(t, yaml, Network{
			Listen:       func(a netip.AddrPort) (Socket, error) { return sw.Listen(a) },
			ListenStream: func(a netip.AddrPort) (net.Listener, error) { return sw.ListenStream(a) },
			Dial:         sw.DialStream,
		}, func(ctx context.Context, o Options) (*Stack, error) {
			o.Config.Listen[1].Proof = proof
			o.Config.Listen = append(o.Config.Listen, config.Listener{Transport: "tcp", AddrPort: netip.MustParseAddrPort(open)})
			return Listen(ctx, o)
		})
		h.cfg.RequireBrowserProof(proof)
		h.Admission = peers.NewAdmission(h.cfg, nil)
		h.stack.Serve()
		defer h.stack.Close()
		for _, tt := range []struct {
			at, begin, want string
		}{
			{proven, proof, "SIP/2.0 200"},
			{proven, "", ""},
			{proven, strings.Repeat("X", len(proof)), ""},
			{open, proof, ""},
			{open, "", ""},
		} {
			conn, err := sw.DialStream(t.Context(), siptest.Carrier.Addr(), netip.MustParseAddrPort(tt.at))
			must(t, err)
			_, err = conn.Write(append([]byte(tt.begin), asking("OPTIONS", "x", conn.LocalAddr())...))
			must(t, err)
			got, err := bufio.NewReader(conn).ReadString('\n')
			if !strings.HasPrefix(got, tt.want) || tt.want == "" && (got != "" || err == nil) {
				t.Errorf("%s, %q: got %q, %v; want %q", tt.at, tt.begin, got, err, tt.want)
			}
			conn.Close()
		}
		if l, err := h.stack.LocalFor(config.TransportTCP, siptest.Agent.Addr()); err != nil || l.Listen.String() != open {
			t.Errorf("a peer is given %v, %v", l.Listen, err)
		}
		quiet, err := sw.DialStream(t.Context(), siptest.Carrier.Addr(), netip.MustParseAddrPort(proven))
		must(t, err)
		if _, err := quiet.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // it is closed after streamFirst
			t.Errorf("a connection without a word ends with %v", err)
		}
	})
}
