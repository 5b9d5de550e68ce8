package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/node"
	"flowbridge/sim"
	"flowbridge/sim/synthflow"
	"flowbridge/sim/vapi"
)

func simulateCommand() *cobra.Command {
	return cli.Group("simulate", "Stand in for a platform, or for Twilio or WhatsApp in front of one", "",
		"  flowbridge simulate synthflow --http 127.0.0.1:8090 --sip 127.0.0.1:32681",
		append(simulatePlatforms(), simulateSynthflowCommand(), simulateTwilioCommand(), simulateVapiCommand(),
			simulateWebsocketCommand(), simulateWhatsappCommand())...)
}

// standIn starts a platform's stand-in, prints its addresses with announce, and runs it until a signal.
func standIn[P io.Closer](c *cobra.Command, asJSON bool, start func(context.Context, zerolog.Logger) (P, error),
	announce func(out io.Writer, s P) error,
) error {
	ctx, stop := cli.Interruptible(c.Context())
	defer stop()
	log := node.Console(zerolog.InfoLevel)
	if asJSON {
		log = zerolog.New(zerolog.SyncWriter(c.ErrOrStderr())).With().Timestamp().Logger()
	}
	s, err := start(ctx, log)
	if err != nil {
		return err
	}
	if err = announce(c.OutOrStdout(), s); err == nil {
		<-ctx.Done()
	}
	return errors.Join(err, s.Close())
}

// standInFlags adds the flags that every stand-in has.
func standInFlags(f *pflag.FlagSet, answer, echo, ring *time.Duration, fault *string, asJSON *bool) {
	f.DurationVar(answer, "answer-after", 0, "how long the caller pauses before the agent repeats what it heard (default 600ms)")
	f.DurationVar(echo, "echo", 0, "echo all that is heard, with this delay, instead of waiting for a pause")
	f.DurationVar(ring, "ring", 0, "how long the agent rings (default 200ms)")
	f.StringVar(fault, "fault", "", "misbehaviour, as listed above")
	f.BoolVar(asJSON, "json", false, "addresses and log lines as JSON")
}

// demoAgent is the agent of docs/examples/simulator.yaml.
const demoAgent = "demo-agent"

const simulateSynthflowLong = `A stand-in for Synthflow: POST /v2/prepare_inbound, the account's API (custom-numbers, numbers, assistants, calls) and
a SIP agent that plays a greeting, and repeats what it heard when the caller pauses.

The account has one agent, demo-agent, and no numbers at first: the agent takes an INVITE only with a known,
unused call id in a well-formed X-EI header. Once there are numbers, by --number or by the API, it
takes only INVITEs for one of them, and those for a number with an inbound agent without an id, too (direct dial).

--fault makes it misbehave; D is a duration such as 5s, N a SIP status:
` + sim.FaultUsage + `.

With --sip-user and --sip-password the agent challenges every INVITE and checks the answer, as a platform does
that wants the credentials of a target's ` + "`auth`."

func simulateSynthflowCommand() *cobra.Command {
	c := cli.Command("synthflow", "Synthflow: the account's API, webhooks, and a SIP agent that greets and answers",
		simulateSynthflowLong,
		"  flowbridge simulate synthflow --http 127.0.0.1:8090 --sip 127.0.0.1:32681 --token sim-token\n"+
			"  flowbridge simulate synthflow --number +15550100002 --workspace 1738660423280x428309622607052800\n"+
			"  flowbridge simulate synthflow --webhook http://127.0.0.1:8081/synthflow/webhook --webhook-secret secret\n"+
			"  flowbridge simulate synthflow --fault late:8s\n"+
			"  flowbridge simulate synthflow --fault status:480\n"+
			"  flowbridge simulate synthflow --sip-user trunk --sip-password secret --sip-algorithm sha-256")
	var f synthflowFlags
	f.define(c.Flags())
	c.RunE = func(c *cobra.Command, _ []string) error {
		takeFreePorts(c.Flags())
		o, err := f.options()
		if err != nil {
			return cli.Usage("%w", err)
		}
		return standIn(c, f.json, func(ctx context.Context, log zerolog.Logger) (*synthflow.Platform, error) {
			o.Log = log
			return synthflow.Start(ctx, o)
		}, f.announce)
	}
	return c
}

// mostTaken is how many ports in a row may be in use before takeFreePorts gives up.
const mostTaken = 20

// takeFreePorts moves the addresses of a stand-in to the next free port, unless they are on the command line. A
// new user can't help it if a port is in use, and the stand-in prints the address that it listens at.
func takeFreePorts(flags *pflag.FlagSet) {
	for _, name := range []string{"http", "sip"} {
		f := flags.Lookup(name)
		if f == nil || f.Changed {
			continue
		}
		at, err := netip.ParseAddrPort(f.Value.String())
		for next := at; err == nil && next.Port() < at.Port()+mostTaken; next = netip.AddrPortFrom(at.Addr(), next.Port()+1) {
			if isFree(next) {
				_ = f.Value.Set(next.String()) // valid text
				break
			}
		}
	}
}

// isFree reports whether a port is free for TCP and UDP.
func isFree(at netip.AddrPort) bool {
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return false
	}
	defer conn.Close()
	l, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// synthflowFlags holds the flags before they are checked.
type synthflowFlags struct {
	sim     synthflow.Options
	fault   string
	numbers []string
	json    bool
}

func (f *synthflowFlags) define(flags *pflag.FlagSet) {
	o := &f.sim
	flags.StringVar(&o.HTTPListen, "http", "127.0.0.1:8090", "address of the HTTP API")
	flags.StringVar(&o.SIPListen, "sip", "127.0.0.1:32681", "address of the SIP agent (UDP)")
	flags.StringVar(&o.Token, "token", "sim-token", "bearer token that the API asks for")
	flags.StringVar(&o.Auth.User, "sip-user", "", "digest user that the agent asks for")
	flags.StringVar(&o.Auth.Password, "sip-password", "", "and the password")
	flags.StringVar(&o.Auth.Algorithm, "sip-algorithm", "", "md5 (default), sha-256 or sha-512-256")
	flags.StringArrayVar(&o.Account.Workspaces, "workspace", nil,
		"a workspace id that the token is good for; repeatable (default any)")
	flags.StringArrayVar(&f.numbers, "number", nil,
		"a number that is imported and bound to an inbound agent, as +15550100002 or +15550100002=<model id>; repeatable")
	flags.StringVar(&o.DirectDial, "direct-dial", synthflow.DirectDialAuto,
		"INVITEs without a prepared call: auto (imported numbers), on (any number of an empty account too) or off")
	flags.StringVar(&o.Webhook.URL, "webhook", "",
		"URL of the webhook after a call, for agents without external_webhook_url")
	flags.StringVar(&o.Webhook.Secret, "webhook-secret", "", "secret of the webhooks' signature (default none, unsigned)")
	for _, gone := range []string{"pre-action", "pre-action-token"} {
		flags.Func(gone, "", func(string) error {
			return errors.New("the stand-in fetches no variables any more: ask hooks.variables during the call with curl, " +
				"as flowbridge help profiles shows")
		})
		_ = flags.MarkHidden(gone) // it was defined just now
	}
	standInFlags(flags, &o.AnswerAfter, &o.EchoDelay, &o.RingFor, &f.fault, &f.json)
}

// options completes the options and checks them.
func (f *synthflowFlags) options() (synthflow.Options, error) {
	o := f.sim
	o.Account.DemoAgent = demoAgent
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
	return o, o.Validate()
}

// announce prints the addresses of the platform and its numbers.
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
		return json.NewEncoder(out).
			Encode(map[string]any{"api": s.APIURL(), "token": s.Token(), "sip": s.SIPAddr().String(), "numbers": numbers})
	}
	fmt.Fprintf(out, "API   %s (token %s)\nagent sip:%s\n", s.APIURL(), s.Token(), s.SIPAddr())
	for _, n := range s.Numbers() {
		fmt.Fprintf(out, "number %s, inbound agent %s\n", n.Number, n.ModelID)
	}
	return nil
}

func simulateVapiCommand() *cobra.Command {
	c := cli.Command("vapi", "Assistants and phone numbers over HTTP, and a SIP agent that greets and answers",
		"A stand-in for Vapi: /assistant, /phone-number and /call as in its API reference, kept in memory, and a SIP agent\n"+
			"that takes INVITEs to the sipUri of a number. Headers that begin with x- fill the template variables of the\n"+
			"assistant's firstMessage. A number without an assistantId asks its server (assistant-request) while the call rings\n"+
			"and waits for 7.5 s. The agent plays a greeting that is different for every firstMessage, and repeats what\n"+
			"it heard when the caller pauses.\n\n"+
			"A number's sipUri may have any host but sip.eu.vapi.ai; an INVITE is found by its user.\n\n"+
			"--fault makes it misbehave; D is a duration such as 5s, N a SIP status:\n"+
			strings.Replace(sim.FaultUsage, "failed, ", "", 1)+".",
		"  flowbridge simulate vapi --http 127.0.0.1:8091 --sip 127.0.0.1:5070 --key sim-key\n"+
			"  flowbridge simulate vapi --fault late:8s")
	var o vapi.Options
	var fault string
	var asJSON bool
	f := c.Flags()
	f.StringVar(&o.HTTPListen, "http", "127.0.0.1:8091", "address of the HTTP API")
	f.StringVar(&o.SIPListen, "sip", "127.0.0.1:5070", "address of the SIP agent (UDP)")
	f.StringVar(&o.Key, "key", "sim-key", "private key that the API asks for as bearer token")
	standInFlags(f, &o.AnswerAfter, &o.EchoDelay, &o.RingFor, &fault, &asJSON)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var err error
		takeFreePorts(c.Flags())
		if o.Fault, err = sim.ParseFault(fault); err == nil {
			err = o.Validate()
		}
		if err != nil {
			return cli.Usage("%w", err)
		}
		return standIn(c, asJSON, func(ctx context.Context, log zerolog.Logger) (*vapi.Platform, error) {
			o.Log = log
			return vapi.Start(ctx, o)
		}, func(out io.Writer, s *vapi.Platform) error {
			if asJSON {
				return json.NewEncoder(out).
					Encode(map[string]string{"api": s.APIURL(), "key": s.Key(), "sip": s.SIPAddr().String()})
			}
			_, err := fmt.Fprintf(out, "API   %s (key %s)\nagent sip:%s\n", s.APIURL(), s.Key(), s.SIPAddr())
			return err
		})
	}
	return c
}
