package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/config"
	"flowbridge/sim/whatsapp"
)

// whatsappCall is the call that the command line describes.
type whatsappCall struct {
	call                 whatsapp.Call
	server, sendTo       string
	listen, passwordFile string
	headers              []string
	secure               testCall // its settings for TLS
	seconds              int
	json                 bool
}

func simulateWhatsappCommand() *cobra.Command {
	c := cli.Command("whatsapp", "A WhatsApp user who calls a business, over TLS, with Opus and ICE as Meta has them",
		"A stand-in for Meta's side of WhatsApp Business Calling: it calls the business's SIP server over TLS, checks the\n"+
			"server's certificate, answers a challenge with the number's password, and speaks Opus. With --media ice, Meta's\n"+
			"default, it is an ICE-lite agent: the business checks, nominates, and begins the DTLS handshake. With --media sdes\n"+
			"the keys are in SDP. It takes no re-INVITE, and hangs up after 20 s without audio.\n\n"+
			"It says words over and over, with a pause for the answer, and reports whether they come back, as the other\n"+
			"stand-ins repeat what they hear. Exit code 0 only if the call was answered and audio came back.",
		"  flowbridge simulate whatsapp --server sip.example.com --called +15075785607 --password-file whatsapp.password\n"+
			"  flowbridge simulate whatsapp --server sip.example.com:5061 --send-to 127.0.0.1:5061 --called +15075785607 --media sdes\n"+
			"  flowbridge simulate whatsapp --server 127.0.0.1:5061 --insecure --called +15075785607 --json")
	var o whatsappCall
	f := c.Flags()
	f.StringVar(&o.server, "server", "", "host, and port if it is not 5061, of the SIP server, as they are set at Meta")
	f.StringVar(&o.sendTo, "send-to", "",
		"host and port that is called instead; the certificate is still that of --server")
	f.StringVar(&o.call.Business, "called", "", "number of the business, like +15075785607")
	f.StringVar(&o.call.From, "from", "+15550100001", "the WhatsApp user's number")
	f.StringVar(&o.call.Media, "media", whatsapp.MediaICE, "ice (ICE and DTLS) or sdes, as it is set at the number")
	f.StringVar(&o.passwordFile, "password-file", "",
		"file with the number's SIP password (default none: a challenge ends the call)")
	f.StringArrayVar(&o.headers, "header", nil,
		"a further header of the INVITE, like 'x-wa-meta-cta-payload: sale'; may be repeated")
	f.StringVar(&o.secure.authority, "ca", "", "PEM file of the authorities for TLS (default those of the system)")
	f.BoolVar(&o.secure.insecure, "insecure", false, "take any certificate; Meta does not")
	f.StringVar(&o.listen, "listen", "",
		"IP address and port to call from (default the interface that leads there, any port)")
	f.IntVar(&o.seconds, "seconds", 10, "how long to talk")
	f.BoolVar(&o.json, "json", false, "print one JSON object")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, stop := cli.Interruptible(c.Context())
		defer stop()
		context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the hang-up
		return o.place(ctx, c.OutOrStdout())
	}
	return c
}

func (o *whatsappCall) prepare(ctx context.Context) (err error) {
	host, port, ok := cli.HostPort(o.server, 5061)
	switch {
	case o.server == "":
		return cli.Usage("--server is needed, like sip.example.com:5061")
	case !ok:
		return cli.Usage("--server %q: write host and port, like sip.example.com:5061", o.server)
	case o.call.Business == "":
		return cli.Usage("--called is needed, like +15075785607")
	case o.seconds < 1 || o.seconds > 3600:
		return cli.Usage("--seconds %d: 1 to 3600", o.seconds)
	}
	if err = o.call.Validate(); err != nil {
		return cli.Usage("%w", err)
	}
	if o.call.Headers, err = headersOf(o.headers); err != nil {
		return err
	}
	if o.passwordFile != "" {
		password, err := config.ReadSecret(o.passwordFile)
		if err != nil {
			return cli.Usage("--password-file: %w", err)
		}
		o.call.Password = password.Reveal()
	}
	if o.call.TLS, err = o.secure.tls(host); err != nil {
		return err
	}
	o.call.Host, o.call.Seed, o.call.Hold = host, 1, time.Duration(o.seconds)*time.Second
	o.call.Silence, o.call.GiveUp = silence, testcall.RingLimit
	flag := "--server"
	if o.sendTo != "" {
		flag = "--send-to"
		if host, port, ok = cli.HostPort(o.sendTo, 5061); !ok {
			return cli.Usage("--send-to %q: write host and port, like 127.0.0.1:5061", o.sendTo)
		}
	}
	o.call.To, err = lookUp(ctx, flag, "TLS", host, port)
	return err
}

// place places the call and prints how it went.
func (o *whatsappCall) place(ctx context.Context, w io.Writer) error {
	if err := o.prepare(ctx); err != nil {
		return err
	}
	listen, err := callFrom(ctx, o.listen, o.call.To)
	if err != nil {
		return err
	}
	var trace testcall.Messages
	o.call.Listen, o.call.Tap = listen.String(), trace.Add
	result, failed := whatsapp.Place(ctx, o.call)
	text := w
	if o.json {
		text = io.Discard
	}
	trace.Ladder(text, result.SIPCallID)
	verdict := testcall.Report(text, result.CarrierResult)
	switch {
	case ctx.Err() != nil && result.AnsweredAt.IsZero():
		verdict = errors.New("given up before there was an answer")
	case failed != nil:
		verdict = failed
	case !result.AnsweredAt.IsZero():
		verdict = o.judge(text, result, verdict)
	}
	if o.json {
		return errors.Join(verdict, cli.PrintJSON(w, whatsappJSON{
			Media: o.call.Media, Checks: checksOf(result.Checks), WordsBack: result.OwnBack,
			Summary: testcall.Summarize(result.CarrierResult, &trace, verdict, ""),
		}))
	}
	return verdict
}

// alike is how alike the caller's words have to be when they come back, by way of two codecs.
const alike = 0.5

// judge prints how checks, keys and words went, and returns the error of a call without audio.
func (o *whatsappCall) judge(w io.Writer, r whatsapp.Result, verdict error) error {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, cli.ASCII(fmt.Sprintf(format, args...)))
	}
	if o.call.Media == whatsapp.MediaICE {
		row("checks", "%s", checksInWords(r.Checks))
	}
	if r.OwnBack >= alike {
		row("words", "ours came back (%.2f): the other side hears us", r.OwnBack)
	} else if r.RTP.Received > 0 {
		row("words", "ours did not come back: the other side does not hear us, or is none that repeats them")
	}
	switch {
	case r.Failed != "":
		return fmt.Errorf("answered, but there are no keys: %s", r.Failed)
	case o.call.Media == whatsapp.MediaICE && !r.Checks.Chosen.IsValid():
		return errors.New("answered, but the business has not nominated an address: is its ICE on, and UDP open?")
	case r.Silent:
		return errors.New("hung up, because no audio came for 20 s (30 s later in a call), as WhatsApp does")
	}
	return verdict
}

// checksInWords describes the connectivity checks that came.
func checksInWords(c whatsapp.Checks) string {
	words := []string{fmt.Sprintf("%d answered", c.Answered)}
	for _, code := range codesOf(c) {
		words = append(words, fmt.Sprintf("%d refused with %d", c.Refused[code], code))
	}
	if c.Dropped > 0 {
		words = append(words, fmt.Sprintf("%d not understood", c.Dropped))
	}
	if c.Chosen.IsValid() {
		words = append(words, fmt.Sprintf("nominated %v", c.Chosen))
	}
	return strings.Join(words, ", ")
}

func codesOf(c whatsapp.Checks) (codes []int) {
	for code := range c.Refused {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	return codes
}

// These types are the JSON form of a result.
type (
	whatsappJSON struct {
		Media     string         `json:"media"`      // ice or sdes
		Checks    whatsappChecks `json:"checks"`     // all zero with sdes
		WordsBack float64        `json:"words_back"` // 0 to 1: how alike what came back is to our words
		testcall.Summary
	}
	whatsappChecks struct {
		Answered  uint64 `json:"answered"`
		Refused   uint64 `json:"refused"`
		Dropped   uint64 `json:"dropped"`
		Nominated string `json:"nominated"` // address; empty if none
	}
)

func checksOf(c whatsapp.Checks) whatsappChecks {
	out := whatsappChecks{Answered: c.Answered, Dropped: c.Dropped}
	for _, n := range c.Refused {
		out.Refused += n
	}
	if c.Chosen.IsValid() {
		out.Nominated = c.Chosen.String()
	}
	return out
}
