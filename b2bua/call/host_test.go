package call

import (
	"context"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transaction"
	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/internal/coroutine"
	"flowbridge/internal/memnet"
	"flowbridge/media"
	"flowbridge/media/dtls"
	"flowbridge/media/voice/turns"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// host is what a call needs of its server: a stack on a network in memory, a relay without packets, and a sink.
type host struct {
	Host
	t         *testing.T
	network   *memnet.Switch
	calls     sync.WaitGroup
	unwritten atomic.Int64
	records   []record.Record
	cancel    context.CancelFunc
}

const hostConfig = `
sip: {listen: ["udp://198.51.100.1:5060"]}
media: {listen: ["198.51.100.1"]}
trunks: [{name: carrier, sources: ["192.0.2.10"]}]
targets: [{name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20:32681"}]
routes: [{trunk: carrier, to: "^\\+1507", targets: [agent]}]
`

// withHost runs a test in a bubble, after which no call, record or goroutine may be left.
func withHost(t *testing.T, test func(t *testing.T, h *host)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		cfg, err := config.Parse("test.yaml", []byte(hostConfig), nil)
		if err != nil {
			t.Fatal(err)
		}
		identity, err := dtls.NewIdentity([32]byte{})
		if err != nil {
			t.Fatal(err)
		}
		h := &host{t: t, network: memnet.New()}
		ctx, cancel := context.WithCancel(t.Context())
		silent := zerolog.Nop()
		h.cancel, h.Host = cancel, Host{
			Context: ctx, Config: cfg, Log: silent, Minter: message.NewMinter([32]byte{}),
			Admission: peers.NewAdmission(cfg, nil), Registry: registry.New[*Call, *LegOnWire](),
			Machine: func() (time.Duration, uint64) { return 0, 0 },
			Bridges: bridge.Resources{
				Context: ctx, Relay: relay{}, Identity: identity, Lines: &silent, Config: &cfg.Media,
				Beside: func(_ string, do func()) { do() },
			},
			Sink: h, Calls: &h.calls, Unwritten: &h.unwritten, Coroutines: &coroutine.Pool{},
			Left:     func(string) *Left { return nil },
			Panicked: func(_ *zerolog.Event, where string, value any) { h.Panicked(where, value) },
		}
		h.Stack, err = transport.Listen(ctx, transport.Options{
			Config: cfg.SIP, Minter: h.Minter, Handler: h, Log: silent,
			Network: transport.Network{
				Listen: func(at netip.AddrPort) (transport.Socket, error) { return h.network.Listen(at) },
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		h.Bridges.Names, h.Coroutines.Go = h.Stack, h.Stack.Turns().Go
		h.Stack.Serve()
		test(t, h)
		h.calls.Wait()
		if n := h.unwritten.Load(); n != 0 {
			t.Errorf("%d records are not stored", n)
		}
		h.close()
	})
}

func (h *host) close() {
	h.cancel()
	h.Coroutines.Close()
	if err := h.Stack.Close(); err != nil {
		h.t.Error(err)
	}
}

func (h *host) Peers() *peers.Snapshot { return h.Admission.Peers.Load() }
func (h *host) HeldTrunk(r *sip.Request) (*peers.Snapshot, *peers.Trunk) {
	return h.Admission.HeldTrunk(r)
}
func (h *host) Capacity(s peers.Sender) peers.Capacity { return h.Admission.Capacity(s) }
func (h *host) InDialog(tag []byte) bool               { return h.Registry.KnowsTag(tag) }
func (h *host) InProgress(tag message.Minted) bool     { return h.Registry.Has(tag) }

func (h *host) StrayResponse(*sip.Response)      {}
func (h *host) Panicked(where string, value any) { h.t.Errorf("panic in %s: %v", where, value) }

// Request makes a call of an INVITE.
func (h *host) Request(req *sip.Request, tx *transaction.Server) {
	if req.Method != sip.INVITE {
		return
	}
	p, t := h.Stack.Identify(req, tx)
	source := message.ParseSource(req.Source())
	local, err := h.Stack.LocalFor(message.TransportOf(req), source.Addr())
	if err != nil || t == nil || h.Admission.Enter(t) != peers.CapacityFree {
		h.t.Errorf("%v, %v", err, t)
		return
	}
	c := New(&h.Host, "1", time.Now(), req, p, t, source)
	if !c.Invited(req, tx, local) {
		h.t.Error("the INVITE has a call already")
		return
	}
	c.Begin(req, tx)
}

func (h *host) Journal(record.Record, []byte)            {}
func (h *host) Owe(string, []byte)                       {}
func (h *host) Put(context.Context, record.Record) error { return nil }
func (h *host) Keep(_ context.Context, r *record.Record, _ []byte, done func(error)) {
	h.records = append(h.records, *r)
	done(nil)
}

var _ snapshot.Sink = (*host)(nil)

// relay opens sessions without packets.
type relay struct{ bridge.Relay }

type session struct{ bridge.RelaySession }

func (relay) Open(media.SessionConfig) (bridge.RelaySession, error) { return session{}, nil }

func (session) Local(side media.Side) netip.AddrPort {
	return netip.AddrPortFrom(siptest.Ours.Addr(), 10000+2*uint16(side))
}
func (session) SetPeer(media.Side, media.Peer)                {}
func (session) SetPayloads(media.Side, []media.PayloadChange) {}
func (session) Talk() *turns.Figures                          { return nil }
func (session) Speaking() (none [2]bool)                      { return none }
func (session) Stats() media.Stats                            { return media.Stats{} }
func (session) Quiet() media.Quiet                            { return media.Quiet{} }
func (session) Close() media.Stats                            { return media.Stats{} }

// end is the end of a peer at an address.
type end struct {
	*memnet.Conn
	t *testing.T
}

func (h *host) end(at netip.AddrPort) end {
	c, err := h.network.Listen(at)
	if err != nil {
		h.t.Fatal(err)
	}
	return end{c, h.t}
}

func (e end) sends(msg sip.Message) {
	if _, err := e.WriteToUDPAddrPort([]byte(msg.String()), siptest.Ours); err != nil {
		e.t.Error(err)
	}
}

// gets returns the next message, whose first line begins with this.
func (e end) gets(first string) sip.Message {
	e.t.Helper()
	b := make([]byte, 1<<16)
	n, _, err := e.ReadFromUDPAddrPort(b)
	if err != nil || !strings.HasPrefix(string(b[:n]), first) {
		e.t.Fatalf("%v\n%s\nwant %s", err, b[:n], first)
	}
	msg, err := sip.ParseMessage(b[:n])
	if err != nil {
		e.t.Fatal(err)
	}
	return msg
}

// A caller is refused as the target has refused, and the record says so.
func TestRefusedCallWithoutServer(t *testing.T) {
	withHost(t, func(t *testing.T, h *host) {
		carrier, agent := h.end(siptest.Carrier), h.end(siptest.Agent)
		defer carrier.Close()
		defer agent.Close()
		offer := siptest.SessionAt("192.0.2.10", 4000, "0")
		invite := siptest.InviteFrom(t, "<sip:+15551234567@192.0.2.10>;tag=x", "Contact: <sip:a@192.0.2.10>",
			"Content-Type: application/sdp")
		invite.SetBody([]byte(offer))
		carrier.sends(invite)
		carrier.gets("SIP/2.0 100 ")
		carrier.gets("SIP/2.0 180 ")
		called := agent.gets("INVITE sip:+15075785607@192.0.2.20:32681 ").(*sip.Request)
		if live, ok := h.Registry.Call("1").Ask(h.Context); !ok || live.Phase != "dialing" || live.Record.Target != "agent" {
			t.Errorf("the call is %+v", live)
		}
		busy := sip.NewResponseFromRequest(called, 486, "Busy Here", nil)
		agent.sends(busy)
		agent.gets("ACK ")
		refused := carrier.gets("SIP/2.0 486 ").(*sip.Response)
		ack := sip.NewRequest(sip.ACK, invite.Recipient)
		ack.AppendHeader(invite.Via())
		ack.AppendHeader(invite.From())
		ack.AppendHeader(refused.To())
		ack.AppendHeader(invite.CallID())
		ack.AppendHeader(&sip.CSeqHeader{SeqNo: invite.CSeq().SeqNo, MethodName: sip.ACK})
		carrier.sends(ack)
		synctest.Wait()
		if len(h.records) != 1 {
			t.Fatalf("%d records", len(h.records))
		}
		if r := h.records[0]; r.SIPStatus != 486 || r.Target != "agent" || len(r.Attempts) != 1 {
			t.Errorf("the record is %+v", r)
		}
		if open := h.Admission.Open(); open.Trunks["carrier"]+open.Targets["agent"]+open.Setups != 0 {
			t.Errorf("places are left: %+v", open)
		}
	})
}
