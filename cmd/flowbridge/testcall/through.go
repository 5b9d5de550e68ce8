package testcall

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/ladder"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/node"
	"flowbridge/config"
	"flowbridge/sim"
	"flowbridge/store/record"
)

// Through is a test call from a trunk through a configuration.
type Through struct {
	Trunk    string
	From, To string // numbers
	Seconds  int
}

// Place places the call through a B2BUA in this process. The B2BUA has its own ports and database, so it does not
// disturb a running process.
func (t Through) Place(ctx context.Context, out io.Writer, cfg *config.Config) (err error) {
	ctx, stop := cli.Interruptible(ctx)
	defer stop()
	own, seen := *cfg, Messages{}
	own.Recording = config.Recording{}
	aside, err := OpenAside(ctx, &own, t.Trunk, seen.Add)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, aside.Close()) }()
	result, record, said, failed := aside.Call(ctx, sim.CarrierCall{
		To: t.To, From: t.From, Hold: time.Duration(t.Seconds) * time.Second, Seed: 1,
	})
	if said == nil {
		seen.Ladder(out, result.SIPCallID)
		return failed
	}
	if err = said.Draw(out, cli.Width(out)); err != nil {
		return err
	}
	fmt.Fprintf(out, "\nrecord     %s, cause %s, target %s, call id of the platform %s\n", record.Disposition,
		record.Cause, record.Target, cli.OrDash(record.SynthflowCallID))
	return errors.Join(Report(out, result), failed)
}

// asideConfig holds the settings that two processes can't share.
const asideConfig = `
sip: {listen: ["udp://%s:0"], max_delay: 1m}
admin: {listen: "127.0.0.1:0"}
store: {path: %q}
`

// aside returns a configuration for a second process on this machine. It has one UDP address with a free port, its
// own database, and one trunk, whose calls come from the address at.
func aside(cfg *config.Config, trunk, db string) (own *config.Config, at netip.Addr, err error) {
	at = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	listen := netip.IPv4Unspecified()
	for _, l := range cfg.SIP.Listen {
		if l.Transport == config.TransportUDP && l.AddrPort.Addr().Is4() && !l.AddrPort.Addr().IsUnspecified() {
			listen, at = l.AddrPort.Addr(), l.AddrPort.Addr()
		}
	}
	apart, err := config.Parse("test call", fmt.Appendf(nil, asideConfig, listen, db), os.LookupEnv)
	if err != nil {
		return nil, at, err
	}
	c := *cfg
	c.SIP.Listen, c.Admin, c.Hooks = apart.SIP.Listen, apart.Admin, apart.Hooks
	c.SIP.LocalNetworks = append(slices.Clone(cfg.SIP.LocalNetworks), netip.PrefixFrom(at, at.BitLen()))
	c.Store = apart.Store
	i := slices.IndexFunc(cfg.Trunks, func(t config.Trunk) bool { return t.Name == trunk })
	t := cfg.Trunks[i]
	t.Sources, t.Auth, t.Certificates, t.Match = []config.Source{{Prefix: netip.PrefixFrom(at, at.BitLen())}}, nil, nil,
		config.Match{}
	if t.Browser { // the carrier has neither DTLS nor ICE
		t.Browser, t.Media.SRTP = false, config.SRTPOff
	}
	c.Trunks = []config.Trunk{t}
	c.Routes = slices.DeleteFunc(slices.Clone(cfg.Routes), func(r config.Route) bool {
		return r.Target != "" || len(r.Trunks) > 0 || r.Trunk != "" && r.Trunk != trunk
	})
	return &c, at, nil
}

// Aside is a B2BUA in this process, and a carrier that calls it. It has its own ports and database, so it does not
// disturb a running process.
type Aside struct {
	node    *node.Node
	carrier *sim.Carrier
	dir     string
}

// OpenAside starts the B2BUA of a configuration, and the carrier of a trunk. tap gets its messages and may be nil.
func OpenAside(ctx context.Context, cfg *config.Config, trunk string, tap func(sim.Datagram)) (a *Aside, err error) {
	dir, err := os.MkdirTemp("", "flowbridge-call-")
	if err != nil {
		return nil, err
	}
	own, at, err := aside(cfg, trunk, filepath.Join(dir, "call.db"))
	a = &Aside{dir: dir}
	if err == nil {
		a.carrier, err = sim.StartCarrier(context.WithoutCancel(ctx),
			sim.CarrierOptions{Listen: netip.AddrPortFrom(at, 0).String(), Tap: tap, Log: zerolog.Nop()})
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if a.node, err = node.Start(ctx, own, node.Console(zerolog.WarnLevel), node.Options{}); err != nil {
		return nil, errors.Join(err, a.carrier.Close(), os.RemoveAll(dir))
	}
	return a, nil
}

// Close stops both and removes their files.
func (a *Aside) Close() error {
	return errors.Join(a.carrier.Close(), a.node.Close(), os.RemoveAll(a.dir))
}

// recordEvery is how often a record is looked for.
const recordEvery = 20 * time.Millisecond

// Call places a call to a number. It returns when the call is over and has a record; the ladder is nil if it has none.
func (a *Aside) Call(ctx context.Context, c sim.CarrierCall) (
	result sim.CarrierResult, r record.Record, l *ladder.Ladder, failed error,
) {
	c.Dest = netip.AddrPortFrom(a.carrier.Addr().Addr(), a.node.SIPAddr().Port())
	c.To, c.CancelAfter = fmt.Sprintf("sip:%s@%s", c.To, c.Dest), RingLimit
	result, failed = a.carrier.Call(ctx, c)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	for {
		r, err := a.node.RecordOf(ctx, result.SIPCallID)
		if err == nil {
			l, err = a.node.Ladder(ctx, r.ID)
			return result, r, l, errors.Join(failed, err)
		}
		select {
		case <-time.After(recordEvery):
		case <-ctx.Done():
			return result, r, nil, fmt.Errorf("the B2BUA did not take the call, or it does not end: %w",
				errors.Join(err, failed))
		}
	}
}
