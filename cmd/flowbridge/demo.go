package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/node"
	"flowbridge/config"
	"flowbridge/internal/local"
	"flowbridge/sim"
	"flowbridge/sim/synthflow"
)

// The demo's numbers: a fictitious caller, and the called number of the platform's documents.
const (
	demoCaller = "+15075550100"
	demoCalled = "+15075785607"
)

// demoHold is the length of a demo call: greeting, words of the caller, and the agent's answer.
const demoHold = 7 * time.Second

func demoCommand() *cobra.Command {
	c := cli.Command("demo", "Simulator, B2BUA and real calls through it on loopback",
		"Start a stand-in platform, the B2BUA and a carrier on loopback, place calls with real SIP and RTP, and\n"+
			"check by content that both sides hear each other. The exit code is 0 only if all checks pass.",
		"  flowbridge demo\n  flowbridge demo --calls 200 --json\n  flowbridge demo --hold")
	calls := c.Flags().Int("calls", 1, "place this many calls at once")
	hold := c.Flags().Bool("hold", false, "stay up afterwards, and say how to call")
	asJSON := c.Flags().Bool("json", false, "print the result as JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *asJSON && *hold {
			return cli.Usage("--json and --hold: the result is printed at the end, so choose one of the two")
		}
		if *calls < 1 || *calls > 2000 {
			return cli.Usage("--calls %d: 1 to 2000", *calls)
		}
		ctx, stop := cli.Interruptible(c.Context())
		defer stop()
		if !*asJSON {
			return runDemo(ctx, c.OutOrStdout(), *calls, *hold)
		}
		result, err := demoResult(ctx, *calls)
		return errors.Join(err, cli.PrintJSON(c.OutOrStdout(), result))
	}
	return c
}

// stage holds the parts of a demo.
type stage struct {
	platform *synthflow.Platform
	carrier  *sim.Carrier
	node     *node.Node
	dir      string
}

func runDemo(ctx context.Context, out io.Writer, calls int, hold bool) (err error) {
	listen := loopback
	if hold { // a softphone may use any address of this machine
		listen = netip.IPv4Unspecified()
	}
	s, err := setStage(ctx, listen)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if hold {
		fmt.Fprintf(out, "To speak with the agent yourself, open http://%s/#/talk?to=%%2B%s and press Talk.\n\n",
			s.node.APIAddr(), strings.TrimPrefix(demoCalled, "+"))
	}
	fmt.Fprintf(out, "platform   API %s, agent sip:%s\nflowbridge sip:%s, admin API http://%s\ncarrier    sip:%s\n\n",
		s.platform.APIURL(), s.platform.SIPAddr(), s.addr(), s.node.APIAddr(), s.carrier.Addr())
	if calls == 1 {
		_, err = s.oneCall(ctx, out)
	} else {
		_, err = s.manyCalls(ctx, out, calls)
	}
	if err != nil || !hold {
		return err
	}
	s.explain(out)
	<-ctx.Done()
	return nil
}

// loopback is the address at which the demo's own calls reach Flowbridge.
var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// setStage starts platform, B2BUA and carrier. Each has its own address.
func setStage(ctx context.Context, listen netip.Addr) (_ *stage, err error) {
	s := &stage{}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	background := context.WithoutCancel(ctx)
	s.platform, err = synthflow.Start(background, synthflow.Options{
		HTTPListen: "127.0.0.3:0", SIPListen: "127.0.0.3:0", Log: zerolog.Nop(),
	})
	if err != nil {
		return nil, err
	}
	if s.carrier, err = sim.StartCarrier(background,
		sim.CarrierOptions{Listen: "127.0.0.2:0", Log: zerolog.Nop()}); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "flowbridge-demo-"); err != nil {
		return nil, err
	}
	cfg, err := s.config(listen)
	if err != nil {
		return nil, err
	}
	s.node, err = node.Start(background, cfg, node.Console(zerolog.WarnLevel), node.Options{})
	return s, err
}

// demoConfig is the configuration without addresses and file names.
const demoConfig = `
sip: {listen: ["udp://%[1]v:0"], max_delay: 1m}
media: {listen: ["%[1]v"]}
trunks:
  - {name: carrier, sources: [local]}
  - {name: browser, browser: true}
targets:
  - name: synthflow
    kind: synthflow
    uri: "sip:{{.To.Number}}@%[2]s"
    prepare: {api: "%[3]s", token_env: DEMO_TOKEN, model_id: demo-agent, workspace_id: demo}
    headers: {X-EI: "S.{{.Prepare.CallID}};", X-Caller: "{{.From.Number}}"}
routes:
  - {trunk: carrier, targets: [synthflow]}
  - {trunk: browser, targets: [synthflow]}
store: {path: "%[4]s"}
admin: {listen: "127.0.0.1:0"}
`

func (s *stage) config(listen netip.Addr) (*config.Config, error) {
	text := fmt.Sprintf(demoConfig, listen, s.platform.SIPAddr(), s.platform.APIURL(), filepath.Join(s.dir, "demo.db"))
	cfg, err := config.Parse("demo.yaml", []byte(text), func(name string) (string, bool) {
		return s.platform.Token(), name == "DEMO_TOKEN"
	})
	if err == nil {
		cfg.Admin.LocalCall = true // only here: elsewhere a call by a browser needs a token
	}
	return cfg, err
}

func (s *stage) close() error {
	var errs []error
	if s.carrier != nil {
		errs = append(errs, s.carrier.Close())
	}
	if s.node != nil {
		errs = append(errs, s.node.Close())
	}
	if s.platform != nil {
		errs = append(errs, s.platform.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// addr returns the address at which calls from this machine reach Flowbridge.
func (s *stage) addr() netip.AddrPort {
	return netip.AddrPortFrom(loopback, s.node.SIPAddr().Port())
}

// explain prints how to place further calls.
func (s *stage) explain(out io.Writer) {
	fmt.Fprint(out, "\nStaying up until Ctrl-C. Any softphone on this machine may call; one of these leads here:\n")
	addrs, _ := local.Addresses() // after an error, loopback still works
	addrs = slices.DeleteFunc(addrs, func(a netip.Addr) bool { return !a.Is4() || a.IsLoopback() })
	for _, a := range append([]netip.Addr{loopback}, addrs...) {
		fmt.Fprintf(out, "  sip:%s@%s:%d\n", demoCalled, a, s.addr().Port())
	}
	fmt.Fprintf(out, `or, by a command,
  flowbridge call --to sip:%[1]s@%[2]s
  sipp -sn uac -s %[1]s -m 1 -d 5000 -i 127.0.0.9 %[2]s
or with baresip, which needs an account to call from (the first line is for the first time only),
  mkdir -p ~/.baresip; echo '<sip:me@127.0.0.1>;regint=0' >> ~/.baresip/accounts
  baresip -e "/dial sip:%[1]s@%[2]s"
To look at it: http://%[3]s/ in a browser, or
  curl http://%[3]s/api/calls
  curl http://%[3]s/api/cdrs
`, demoCalled, s.addr(), s.node.APIAddr())
}
