package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flowbridge/config"
	"flowbridge/sim"
	"flowbridge/sim/synthflow"
)

const simulateSynthflowLong = `A stand-in for Synthflow: POST /v2/prepare_inbound, the account's API (custom-numbers, numbers, assistants, calls) and
a SIP agent that plays a greeting and then echoes what it hears.

The account is empty at first: the agent takes an INVITE only with a known, unused call id in a well-formed X-EI header.
Once there are numbers, by --number or by the API, it takes only INVITEs for one of them, and those for a number with an
inbound agent without an id, too (direct dial).

--fault makes it misbehave; D is a duration such as 5s, N a SIP status:
` + sim.FaultUsage + `.

With --sip-user and --sip-password the agent challenges every INVITE and checks the answer, as a platform does that wants
the credentials of a target's ` + "`auth`" + `; with --number-auth it asks for trunk_username and trunk_pwd of the number.`

func simulateSynthflowCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "synthflow",
		Short: "Synthflow: the account's API, webhooks, and a SIP agent that greets and echoes",
		Long:  simulateSynthflowLong,
		Example: "  flowbridge simulate synthflow --http 127.0.0.1:8090 --sip 127.0.0.1:32681 --token sim-token\n" +
			"  flowbridge simulate synthflow --number +15550100002 --workspace 1738660423280x428309622607052800\n" +
			"  flowbridge simulate synthflow --webhook http://127.0.0.1:8081/synthflow/webhook --webhook-secret secret\n" +
			"  flowbridge simulate synthflow --pre-action 'http://127.0.0.1:8081/variables?id=<call_id>' --pre-action-token secret\n" +
			"  flowbridge simulate synthflow --fault late:8s\n" +
			"  flowbridge simulate synthflow --fault status:480\n" +
			"  flowbridge simulate synthflow --sip-user trunk --sip-password secret --sip-algorithm sha-256",
		Args: usage(cobra.NoArgs),
	}
	var f synthflowFlags
	f.define(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		o, err := f.options()
		if err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGTERM, syscall.SIGINT)
		defer stop()
		o.Log = logger(config.Log{Level: "info", Format: config.FormatConsole}, os.Stderr)
		if f.json {
			o.Log = zerolog.New(zerolog.SyncWriter(c.ErrOrStderr())).With().Timestamp().Logger()
		}
		s, err := synthflow.Start(ctx, o)
		if err != nil {
			return err
		}
		if err := f.announce(c.OutOrStdout(), s); err != nil {
			_ = s.Close()
			return err
		}
		<-ctx.Done()
		return s.Close()
	}
	return c
}

// synthflowFlags are options as the command line has them.
type synthflowFlags struct {
	sim     synthflow.Options
	fault   string
	numbers []string
	answer  string
	errors  string
	json    bool
}

func (f *synthflowFlags) define(flags *pflag.FlagSet) {
	o := &f.sim
	flags.StringVar(&o.HTTPListen, "http", "127.0.0.1:8090", "address of the HTTP API")
	flags.StringVar(&o.SIPListen, "sip", "127.0.0.1:32681", "address of the SIP agent (UDP)")
	flags.StringVar(&o.Token, "token", "sim-token", "bearer token that the API asks for")
	flags.DurationVar(&o.EchoDelay, "echo", 0, "delay of the echo (default 600ms)")
	flags.DurationVar(&o.RingFor, "ring", 0, "how long the agent rings (default 200ms)")
	flags.StringVar(&o.Auth.User, "sip-user", "", "digest user that the agent asks for")
	flags.StringVar(&o.Auth.Password, "sip-password", "", "and the password")
	flags.StringVar(&o.Auth.Algorithm, "sip-algorithm", "", "md5 (default), sha-256 or sha-512-256")
	flags.StringArrayVar(&o.Account.Workspaces, "workspace", nil, "a workspace id that the token is good for; repeatable (default any)")
	flags.StringArrayVar(&f.numbers, "number", nil, "a number that is imported and bound to an inbound agent, as +15550100002 or +15550100002=<model id>; repeatable")
	flags.BoolVar(&o.Account.LegacyIDs, "legacy-ids", false, "new agents get ids such as 1744274157255x646200691892837600, not UUIDs")
	flags.BoolVar(&o.Account.NumberAuth, "number-auth", false, "an INVITE has to show the called number's trunk_username and trunk_pwd")
	flags.StringVar(&o.Account.VoiceEngine, "voice-engine", synthflow.VoiceEngineAccept, "voice_engine_version of a new agent: accept, require or refuse")
	flags.StringVar(&f.errors, "errors", "region", `errors of the API: region ({"detail":…}) or gateway ({"error":…,"message":…})`)
	flags.StringVar(&f.answer, "answer", "long", "answer of prepare_inbound: long, or short (six keys)")
	flags.StringVar(&o.DirectDial, "direct-dial", synthflow.DirectDialAuto, "INVITEs without a prepared call: auto (imported numbers), on (any number of an empty account too) or off")
	flags.StringVar(&o.Webhook.URL, "webhook", "", "URL of the webhook after a call, for agents without external_webhook_url")
	flags.StringVar(&o.Webhook.Secret, "webhook-secret", "", "secret of the webhooks' signature (default none, unsigned)")
	flags.StringVar(&o.Webhook.Header, "webhook-header", "Synthflow-Signature", "header of the signature, such as X-Synthflow-Signature or HTTP_SYNTHFLOW_SIGNATURE")
	flags.IntVar(&o.Webhook.Tries, "webhook-tries", 3, "deliveries of the webhook after a call until one gets a 2xx, 1 to 10")
	flags.StringVar(&o.PreAction.URL, "pre-action", "", "URL that the agent gets variables from before its first turn; <external_id>, <twilio_call_sid>, <call_id> and <diversion> are filled in")
	flags.StringVar(&o.PreAction.Token, "pre-action-token", "", "bearer token that the agent shows there")
	flags.StringVar(&f.fault, "fault", "", "how to misbehave")
	flags.BoolVar(&f.json, "json", false, "addresses and log lines as JSON")
}

// options reads what is not an option as it is, and checks all.
func (f *synthflowFlags) options() (synthflow.Options, error) {
	o := f.sim
	var err error
	if o.Fault, err = sim.ParseFault(f.fault); err != nil {
		return o, err
	}
	o.Account.Numbers = nil
	for _, text := range f.numbers {
		n, err := synthflow.ParseNumber(text)
		if err != nil {
			return o, err
		}
		o.Account.Numbers = append(o.Account.Numbers, n)
	}
	if o.ShortAnswer, err = second("--answer", f.answer, "long", "short"); err != nil {
		return o, err
	}
	if o.Account.Gateway, err = second("--errors", f.errors, "region", "gateway"); err != nil {
		return o, err
	}
	if o.Webhook.Tries < 1 {
		return o, fmt.Errorf("--webhook-tries %d: 1 to 10", o.Webhook.Tries)
	}
	return o, o.Validate()
}

// second says whether a flag has the second of its two values.
func second(flag, got, one, two string) (bool, error) {
	if got != one && got != two {
		return false, fmt.Errorf("%s %q: want %s or %s", flag, got, one, two)
	}
	return got == two, nil
}

// announce prints where the platform is, and the numbers that it has.
func (f *synthflowFlags) announce(out io.Writer, s *synthflow.Platform) error {
	if f.json {
		type number struct {
			Number  string `json:"number"`
			ModelID string `json:"model_id"`
		}
		numbers := []number{}
		for _, n := range s.Numbers() {
			numbers = append(numbers, number(n))
		}
		return json.NewEncoder(out).Encode(map[string]any{"api": s.APIURL(), "token": s.Token(), "sip": s.SIPAddr().String(), "numbers": numbers})
	}
	fmt.Fprintf(out, "API   %s (token %s)\nagent sip:%s\n", s.APIURL(), s.Token(), s.SIPAddr())
	for _, n := range s.Numbers() {
		fmt.Fprintf(out, "number %s, inbound agent %s\n", n.Number, n.ModelID)
	}
	return nil
}
