package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/sim"
)

// The demo's numbers: a fictitious caller, and the called number of the
// platform's own documents.
const (
	demoCaller = "+15075550100"
	demoCalled = "+15075785607"
)

// demoHold is how long a demo call lasts: the greeting, the caller's words
// and their echo.
const demoHold = 4 * time.Second

func demoCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "demo",
		Short: "Simulator, B2BUA and real calls through it on loopback",
		Long: "Start a stand-in platform, the B2BUA and a carrier on loopback, place calls with real SIP and RTP, and\n" +
			"check by content that both sides hear each other. Exit code 0 only if everything held.",
		Example: "  flowbridge demo\n  flowbridge demo --calls 200\n  flowbridge demo --hold",
		Args:    usage(cobra.NoArgs),
	}
	calls := c.Flags().Int("calls", 1, "place so many calls at once")
	hold := c.Flags().Bool("hold", false, "stay up afterwards, and say how to call")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if *calls < 1 || *calls > 2000 {
			return fmt.Errorf("%w: --calls %d: 1 to 2000", errUsage, *calls)
		}
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		return runDemo(ctx, c.OutOrStdout(), *calls, *hold)
	}
	return c
}

// stage is everything that the demo plays with.
type stage struct {
	platform *sim.Synthflow
	carrier  *sim.Carrier
	node     *node
	trace    *transport.Trace
	dir      string
}

func runDemo(ctx context.Context, out io.Writer, calls int, hold bool) (err error) {
	s, err := setStage(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	fmt.Fprintf(out, "platform   API %s, agent sip:%s\nflowbridge sip:%s, admin API http://%s\ncarrier    sip:%s\n\n",
		s.platform.APIURL(), s.platform.SIPAddr(), s.node.server.Listeners()[0].AddrPort, s.node.apiAt, s.carrier.Addr())
	if calls == 1 {
		err = s.oneCall(ctx, out)
	} else {
		err = s.manyCalls(ctx, out, calls)
	}
	if err != nil || !hold {
		return err
	}
	s.explain(out)
	<-ctx.Done()
	return nil
}

// setStage starts the platform, the B2BUA and the carrier, on addresses of
// their own.
func setStage(ctx context.Context) (_ *stage, err error) {
	s := &stage{trace: &transport.Trace{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	background := context.WithoutCancel(ctx)
	s.platform, err = sim.StartSynthflow(background, sim.SynthflowOptions{
		HTTPListen: "127.0.0.3:0", SIPListen: "127.0.0.3:0", Log: zerolog.Nop(),
	})
	if err != nil {
		return nil, err
	}
	if s.carrier, err = sim.StartCarrier(background, sim.CarrierOptions{Listen: "127.0.0.2:0", Log: zerolog.Nop()}); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "flowbridge-demo-"); err != nil {
		return nil, err
	}
	cfg, err := s.config()
	if err != nil {
		return nil, err
	}
	log := logger(config.Log{Level: "warn", Format: config.FormatConsole}, os.Stderr)
	s.node, err = startNode(background, cfg, log, wiring{
		tap:       s.trace,
		transport: func(rt http.RoundTripper) http.RoundTripper { return tracedAPI{rt, s.trace} },
	})
	return s, err
}

// demoConfig is a whole configuration: the addresses and files are filled in.
const demoConfig = `
sip: {listen: ["udp://127.0.0.1:0"]}
media: {listen: [127.0.0.1]}
trunks:
  - {name: carrier, sources: [127.0.0.0/8]}
targets:
  - name: synthflow
    kind: synthflow
    uri: "sip:{{.To.Number}}@%s"
    prepare: {api: "%s", token_env: DEMO_TOKEN, model_id: demo-agent, workspace_id: demo}
    headers: {X-EI: "S.{{.Prepare.CallID}};", X-Caller: "{{.From.Number}}"}
routes:
  - {trunk: carrier, targets: [synthflow]}
store: {path: "%s"}
admin: {listen: "127.0.0.1:0"}
`

func (s *stage) config() (*config.Config, error) {
	text := fmt.Sprintf(demoConfig, s.platform.SIPAddr(), s.platform.APIURL(), filepath.Join(s.dir, "demo.db"))
	return config.Parse("demo.yaml", []byte(text), func(name string) (string, bool) {
		return s.platform.Token(), name == "DEMO_TOKEN"
	})
}

func (s *stage) close() error {
	var errs []error
	if s.carrier != nil {
		errs = append(errs, s.carrier.Close())
	}
	if s.node != nil {
		errs = append(errs, s.node.close())
	}
	if s.platform != nil {
		errs = append(errs, s.platform.Close())
	}
	if s.dir != "" {
		errs = append(errs, os.RemoveAll(s.dir))
	}
	return errors.Join(errs...)
}

// explain says how to call what stays up.
func (s *stage) explain(out io.Writer) {
	at := s.node.server.Listeners()[0].AddrPort
	fmt.Fprintf(out, `
Staying up until Ctrl-C. To call it:
  softphone  dial sip:%s@%s
  baresip    baresip -e "/dial sip:%s@%s"
  SIPp       sipp -sn uac -s %s -m 1 -d 5000 -i 127.0.0.9 %s
To look at it:
  curl http://%s/api/calls
  curl http://%s/api/cdrs
`, demoCalled, at, demoCalled, at, demoCalled, at, s.node.apiAt, s.node.apiAt)
}

// tracedAPI notes the exchange with the platform's API in the trace.
type tracedAPI struct {
	http.RoundTripper
	trace *transport.Trace
}

// RoundTrip passes a request on. The token is in a header, which is not
// looked at.
func (t tracedAPI) RoundTrip(r *http.Request) (*http.Response, error) {
	t.trace.HTTP(time.Now(), false, r.Method+" "+r.URL.Path)
	res, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	t.trace.HTTP(time.Now(), true, "HTTP "+strings.TrimSpace(res.Status))
	return res, nil
}
