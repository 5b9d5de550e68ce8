package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/sim"
)

// twilioCall is a call at the stand-in for Twilio, as the command line
// describes it.
type twilioCall struct {
	call                      sim.TwilioCall
	account, token, tokenFile string
	listen, sendTo, fault     string
	headers                   []string
	seconds                   int
	json                      bool
}

func simulateTwilioCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "twilio",
		Short: "A call that comes in to Twilio: asks a Voice URL and does what its TwiML says, or calls a trunk",
		Long: "A stand-in for Twilio. With --voice-url a call comes in to a Twilio number: the URL is asked, signed with the auth\n" +
			"token, the TwiML is read as strictly as Twilio's documents allow, and the SIP URI that it dials is called, with\n" +
			"the headers of the URI. When that call has ended, the action URL of <Dial> is asked what is next. With --trunk the\n" +
			"call comes by an Elastic SIP trunk: no URL is asked, the number is called at the trunk's origination URI.\n\n" +
			"Exit code 0 only if the call was answered and audio came back. Where the TwiML names an address that is not\n" +
			"loopback, nothing is sent there: --send-to says where the INVITE goes instead.\n\n" +
			"--fault makes the request an unusual one; D is a duration such as 5s:\n" +
			sim.TwilioFaultUsage + ".",
		Example: "  flowbridge simulate twilio --voice-url http://127.0.0.1:8081/redirect_call --called +15075785607 --auth-token-file twilio.token\n" +
			"  flowbridge simulate twilio --voice-url http://127.0.0.1:8081/redirect_call --public-url https://voice.example.com/redirect_call \\\n" +
			"      --called +15075785607 --auth-token secret --send-to 127.0.0.1:32681\n" +
			"  flowbridge simulate twilio --voice-url http://127.0.0.1:8081/redirect_call --called +15075785607 --method GET --fault noplus\n" +
			"  flowbridge simulate twilio --trunk sip:127.0.0.1:5060 --called +15075785607 --from +15550100001 --json",
		Args: usage(cobra.NoArgs),
	}
	var o twilioCall
	f := c.Flags()
	f.StringVar(&o.call.VoiceURL, "voice-url", "", "the number's Voice URL, as it is reached from here")
	f.StringVar(&o.call.PublicURL, "public-url", "", "the Voice URL as it is set at Twilio, which is signed (default --voice-url)")
	f.StringVar(&o.call.Method, "method", http.MethodPost, "GET or POST, as it is set at Twilio")
	f.StringVar(&o.call.Trunk, "trunk", "", "origination URI of an Elastic SIP trunk, instead of --voice-url")
	f.StringVar(&o.call.Called, "called", "", "the Twilio number, or the SIP URI at a SIP domain")
	f.StringVar(&o.call.From, "from", "+15550100001", "the caller's number, or SIP URI")
	f.StringVar(&o.call.CallSID, "call-sid", "", "CallSid (default a new one)")
	f.StringVar(&o.call.CallerName, "caller-name", "", "name of the caller")
	f.StringVar(&o.call.ForwardedFrom, "forwarded-from", "", "the number that forwarded the call")
	f.BoolVar(&o.call.Asserted, "asserted", false, "--trunk: P-Asserted-Identity in the INVITE")
	f.StringArrayVar(&o.headers, "header", nil, "an X- header of a caller's INVITE to a SIP domain, 'Name: value'; may be repeated")
	f.StringVar(&o.account, "account-sid", "", "AccountSid (default a new one)")
	f.StringVar(&o.token, "auth-token", "", "auth token that requests are signed with (default none, not signed)")
	f.StringVar(&o.tokenFile, "auth-token-file", "", "file with the auth token")
	f.StringVar(&o.sendTo, "send-to", "", "host and port that INVITEs are sent to, whatever the URI says")
	f.StringVar(&o.listen, "listen", "", "IP address and port to call from (default the interface that leads there, any port)")
	f.IntVar(&o.seconds, "seconds", 5, "how long to talk")
	f.DurationVar(&o.call.GiveUp, "give-up", 0, "the caller hangs up when nobody has answered after that time (default never)")
	f.StringVar(&o.fault, "fault", "", "how to be unusual")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the hang-up
		return o.place(ctx, c.OutOrStdout())
	}
	return c
}

// prepare checks the command line.
func (o *twilioCall) prepare(ctx context.Context) (err error) {
	if o.call.Fault, err = sim.ParseTwilioFault(o.fault); err != nil {
		return fmt.Errorf("%w: --fault: %w", errUsage, err)
	}
	for _, line := range o.headers {
		h, err := headerOf(line)
		if err != nil {
			return err
		}
		o.call.SIPHeaders = append(o.call.SIPHeaders, h)
	}
	switch {
	case o.call.Called == "":
		return fmt.Errorf("%w: --called is needed, like +15075785607", errUsage)
	case o.seconds < 1 || o.seconds > 3600:
		return fmt.Errorf("%w: --seconds %d: 1 to 3600", errUsage, o.seconds)
	case o.token != "" && o.tokenFile != "":
		return fmt.Errorf("%w: --auth-token and --auth-token-file exclude each other", errUsage)
	case !printable(o.call.Called) || !printable(o.call.From) || o.call.From == "":
		return fmt.Errorf("%w: --called and --from are numbers or SIP URIs, without spaces", errUsage)
	}
	o.call.Hold = time.Duration(o.seconds) * time.Second
	if err = o.call.Validate(); err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if o.tokenFile != "" {
		token, err := config.ReadSecret(o.tokenFile)
		if err != nil {
			return fmt.Errorf("%w: --auth-token-file: %w", errUsage, err)
		}
		o.token = token.Reveal()
	}
	return o.findDestination(ctx)
}

// findDestination looks up what the user has named, and nothing else.
func (o *twilioCall) findDestination(ctx context.Context) error {
	at, flag := o.sendTo, "--send-to"
	if at == "" && o.call.Trunk != "" {
		at, _, _ = strings.Cut(strings.TrimPrefix(o.call.Trunk, "sip:"), ";")
		flag = "--trunk"
	}
	if at == "" {
		return nil
	}
	host, port, err := net.SplitHostPort(at)
	if err != nil { // no port
		host, port = strings.Trim(at, "[]"), "5060"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || host == "" {
		return fmt.Errorf("%w: %s %q: write host and port, like 127.0.0.1:5060", errUsage, flag, at)
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		o.call.Dest = netip.AddrPortFrom(ip.Unmap(), uint16(n))
		return nil
	}
	ip, err := transport.LookupHost(ctx, host)
	if err != nil {
		return fmt.Errorf("%s: %w", flag, err)
	}
	o.call.Dest = netip.AddrPortFrom(ip, uint16(n))
	return nil
}

// from is the socket that INVITEs come from.
func (o *twilioCall) from(ctx context.Context) (string, error) {
	if !o.call.Dest.IsValid() {
		if o.listen == "" {
			return "127.0.0.1:0", nil
		}
		at, err := netip.ParseAddrPort(o.listen)
		if err != nil {
			return "", fmt.Errorf("%w: --listen %q: write an IP address and a port, like 127.0.0.1:0", errUsage, o.listen)
		}
		return at.String(), nil
	}
	at, err := (&testCall{listen: o.listen}).local(ctx, o.call.Dest)
	return at.String(), err
}

// place has the call come in, and says how it went.
func (o *twilioCall) place(ctx context.Context, w io.Writer) error {
	if err := o.prepare(ctx); err != nil {
		return err
	}
	listen, err := o.from(ctx)
	if err != nil {
		return err
	}
	var trace messages
	t, err := sim.StartTwilio(context.WithoutCancel(ctx), sim.TwilioOptions{
		Listen: listen, AccountSID: o.account, AuthToken: o.token, Tap: trace.add, Log: zerolog.Nop(),
	})
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	result, failed := t.Call(ctx, o.call)
	err = t.Close() // what is still on its way belongs to the ladder
	switch {
	case failed != nil && ctx.Err() != nil:
		failed = errors.New("given up before there was an answer")
	case failed == nil:
		failed = twilioVerdict(result)
	}
	if o.json {
		err = errors.Join(err, printTwilioJSON(w, result, failed))
	} else {
		printTwilio(w, result, &trace)
	}
	return errors.Join(failed, err)
}
