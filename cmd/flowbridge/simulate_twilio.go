package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/config"
	"flowbridge/sim/twilio"
)

// twilioCall is the call that the command line describes.
type twilioCall struct {
	call                      twilio.Call
	account, token, tokenFile string
	listen, sendTo, fault     string
	headers                   []string
	seconds                   int
	json                      bool
}

func simulateTwilioCommand() *cobra.Command {
	c := cli.Command("twilio",
		"A call that comes in to Twilio: asks a Voice URL and does what its TwiML says, or calls a trunk",
		"A stand-in for Twilio. With --voice-url a call comes in to a Twilio number: the URL is asked, signed with the auth\n"+
			"token, its TwiML is run, and the SIP URI that it dials is called, with the headers of the URI. When that call has\n"+
			"ended, the action URL of <Dial> is asked for the next step. With --trunk the call comes by an Elastic SIP trunk: no\n"+
			"URL is asked, the number is called at the trunk's origination URI.\n\n"+
			"Exit code 0 only if the call was answered and audio came back. Where the TwiML names an address that is not\n"+
			"loopback, nothing is sent there: --send-to says where the INVITE goes instead.\n\n"+
			"--fault makes the request an unusual one:\n"+
			twilio.FaultUsage+".",
		"  flowbridge simulate twilio --voice-url http://127.0.0.1:8081/redirect_call --called +15075785607 --auth-token-file twilio.token\n"+
			"  flowbridge simulate twilio --voice-url http://127.0.0.1:8081/redirect_call --public-url https://voice.example.com/redirect_call \\\n"+
			"      --called +15075785607 --auth-token secret --send-to 127.0.0.1:32681\n"+
			"  flowbridge simulate twilio --voice-url http://127.0.0.1:8081/redirect_call --called +15075785607 --method GET --fault noplus\n"+
			"  flowbridge simulate twilio --trunk sip:127.0.0.1:5060 --called +15075785607 --from +15550100001 --json")
	var o twilioCall
	f := c.Flags()
	f.StringVar(&o.call.VoiceURL, "voice-url", "", "the number's Voice URL, as it is reached from here")
	f.StringVar(&o.call.PublicURL, "public-url", "",
		"the Voice URL as it is set at Twilio, which is signed (default --voice-url)")
	f.StringVar(&o.call.Method, "method", http.MethodPost, "GET or POST, as it is set at Twilio")
	f.StringVar(&o.call.Trunk, "trunk", "", "origination URI of an Elastic SIP trunk, instead of --voice-url")
	f.StringVar(&o.call.Called, "called", "", "the Twilio number, or the SIP URI at a SIP domain")
	f.StringVar(&o.call.From, "from", "+15550100001", "the caller's number, or SIP URI")
	f.StringVar(&o.call.CallSID, "call-sid", "", "CallSid (default a new one)")
	f.StringVar(&o.call.CallerName, "caller-name", "", "name of the caller")
	f.StringVar(&o.call.ForwardedFrom, "forwarded-from", "", "the number that forwarded the call")
	f.BoolVar(&o.call.Asserted, "asserted", false, "--trunk: P-Asserted-Identity in the INVITE")
	f.StringArrayVar(&o.headers, "header", nil,
		"an X- header of a caller's INVITE to a SIP domain, 'Name: value'; may be repeated")
	f.StringVar(&o.account, "account-sid", "", "AccountSid (default a new one)")
	f.StringVar(&o.token, "auth-token", "", "auth token that requests are signed with (default none, not signed)")
	f.StringVar(&o.tokenFile, "auth-token-file", "", "file with the auth token")
	f.StringVar(&o.sendTo, "send-to", "", "host and port that INVITEs are sent to, whatever the URI says")
	f.StringVar(&o.listen, "listen", "",
		"IP address and port to call from (default the interface that leads there, any port)")
	f.IntVar(&o.seconds, "seconds", 5, "how long to talk")
	f.DurationVar(&o.call.GiveUp, "give-up", 0,
		"the caller hangs up when nobody has answered after that time (default never)")
	f.StringVar(&o.fault, "fault", "", "what is unusual, as listed above")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, stop := cli.Interruptible(c.Context())
		defer stop()
		context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the hang-up
		return o.place(ctx, c.OutOrStdout())
	}
	return c
}

func (o *twilioCall) prepare(ctx context.Context) (err error) {
	if o.call.Fault, err = twilio.ParseFault(o.fault); err != nil {
		return cli.Usage("--fault: %w", err)
	}
	if o.call.SIPHeaders, err = headersOf(o.headers); err != nil {
		return err
	}
	switch {
	case o.call.Called == "":
		return cli.Usage("--called is needed, like +15075785607")
	case o.seconds < 1 || o.seconds > 3600:
		return cli.Usage("--seconds %d: 1 to 3600", o.seconds)
	case o.token != "" && o.tokenFile != "":
		return cli.Usage("--auth-token and --auth-token-file exclude each other")
	case !cli.IsPrintable(o.call.Called) || !cli.IsPrintable(o.call.From) || o.call.From == "":
		return cli.Usage("--called and --from are numbers or SIP URIs, without spaces")
	}
	o.call.Hold = time.Duration(o.seconds) * time.Second
	if err = o.call.Validate(); err != nil {
		return cli.Usage("%w", err)
	}
	if o.tokenFile != "" {
		token, err := config.ReadSecret(o.tokenFile)
		if err != nil {
			return cli.Usage("--auth-token-file: %w", err)
		}
		o.token = token.Reveal()
	}
	return o.findDestination(ctx)
}

// findDestination looks up the host of --send-to or --trunk. It does not look up other hosts.
func (o *twilioCall) findDestination(ctx context.Context) error {
	at, flag := o.sendTo, "--send-to"
	if at == "" && o.call.Trunk != "" {
		at, _, _ = strings.Cut(strings.TrimPrefix(o.call.Trunk, "sip:"), ";")
		flag = "--trunk"
	}
	if at == "" {
		return nil
	}
	host, port, ok := cli.HostPort(at, 5060)
	if !ok {
		return cli.Usage("%s %q: write host and port, like 127.0.0.1:5060", flag, at)
	}
	var err error
	o.call.Dest, err = lookUp(ctx, flag, "UDP", host, port)
	return err
}

// place places the call and prints how it went.
func (o *twilioCall) place(ctx context.Context, w io.Writer) error {
	if err := o.prepare(ctx); err != nil {
		return err
	}
	listen, err := callFrom(ctx, o.listen, o.call.Dest)
	if err != nil {
		return err
	}
	var trace testcall.Messages
	t, err := twilio.Start(context.WithoutCancel(ctx), twilio.Options{
		Listen: listen.String(), AccountSID: o.account, AuthToken: o.token, Tap: trace.Add, Log: zerolog.Nop(),
	})
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	result, failed := t.Call(ctx, o.call)
	err = t.Close() // messages still on their way belong in the ladder
	switch {
	case failed != nil && ctx.Err() != nil:
		failed = errors.New("given up before there was an answer")
	case failed == nil:
		failed = twilioVerdict(result)
	}
	if o.json {
		err = errors.Join(err, printTwilioJSON(w, result, &trace, failed))
	} else {
		printTwilio(w, result, &trace)
	}
	return errors.Join(failed, err)
}

// twilioVerdict returns nil for an answered call with audio.
func twilioVerdict(r twilio.Result) error {
	if len(r.Dials) > 0 {
		return testcall.Report(io.Discard, r.Dials[len(r.Dials)-1].Result)
	}
	switch r.Outcome {
	case twilio.OutcomeRejected:
		return errors.New("no call was placed: the TwiML rejects the caller")
	case twilio.OutcomeNumber:
		return errors.New("no SIP URI was called: the TwiML dials another number, which only Twilio can")
	default:
		return errors.New("no call was placed: the TwiML dials nobody")
	}
}

// printTwilio prints the requests to the webhook, their answers, and the calls.
func printTwilio(w io.Writer, r twilio.Result, trace *testcall.Messages) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, cli.ASCII(fmt.Sprintf(format, args...)))
	}
	row("call", "%s of account %s", r.CallSID, r.AccountSID)
	for _, q := range r.Requests {
		row("webhook", "%s %s", q.Method, q.URL)
		if q.Status > 0 {
			row("answer", "%d, %s, after %.0fms", q.Status, q.ContentType, q.MS)
			row(bodyName(q), "%s", strings.Join(strings.Fields(q.Body), " "))
		}
	}
	for _, v := range r.Verbs {
		row("verb", "%s", v)
	}
	for _, warning := range r.Warnings {
		row("warning", "%s", warning)
	}
	for _, d := range r.Dials {
		row("INVITE", "%s", d.URI)
		for _, h := range d.Headers {
			row("", "%s: %s", h.Name, h.Value)
		}
		fmt.Fprintln(w)
		trace.Ladder(w, d.Result.SIPCallID)
		_ = testcall.Report(w, d.Result) // the verdict is the caller's
	}
}

func bodyName(q twilio.Request) string {
	if q.Status/100 == 2 {
		return "TwiML"
	}
	return "words"
}

// These types are the JSON form of a result.
type (
	twilioJSON struct {
		OK         bool   `json:"ok"`
		Error      string `json:"error,omitempty"`
		AccountSID string `json:"account_sid"`
		CallSID    string `json:"call_sid"`
		// dialled, number, rejected or ended; empty if the call did not get that far
		Outcome  string           `json:"outcome"`
		Requests []twilio.Request `json:"requests"`
		Verbs    []string         `json:"verbs"`
		Warnings []string         `json:"warnings"`
		Dials    []twilioDialJSON `json:"dials"`
	}
	twilioDialJSON struct {
		CallSID string   `json:"call_sid"`
		URI     string   `json:"uri"`
		Headers []string `json:"headers"` // headers of the URI
		testcall.Summary
	}
)

func printTwilioJSON(w io.Writer, r twilio.Result, trace *testcall.Messages, failed error) error {
	out := twilioJSON{
		OK: failed == nil, AccountSID: r.AccountSID, CallSID: r.CallSID, Outcome: r.Outcome,
		Requests: append([]twilio.Request{}, r.Requests...), Verbs: append([]string{}, r.Verbs...),
		Warnings: append([]string{}, r.Warnings...), Dials: []twilioDialJSON{},
	}
	if failed != nil {
		out.Error = failed.Error()
	}
	for _, d := range r.Dials {
		dial := twilioDialJSON{
			CallSID: d.CallSID, URI: d.URI, Headers: []string{},
			Summary: testcall.Summarize(d.Result, trace, testcall.Report(io.Discard, d.Result), ""),
		}
		for _, h := range d.Headers {
			dial.Headers = append(dial.Headers, h.Name+": "+h.Value)
		}
		out.Dials = append(out.Dials, dial)
	}
	return cli.PrintJSON(w, out)
}
