package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/b2bua/locate"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/operate"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/config"
	"flowbridge/internal/local"
	"flowbridge/sim"
)

// testCall is the call that the command line describes.
type testCall struct {
	to, from, listen, user string
	passwordEnv            string
	headers                []string
	seconds                int
	insecure               bool
	authority              string // file with a certificate authority
	file                   string // file with the configuration
	fileNamed              bool   // the command line names the file
	asJSON                 bool
	placing                *operate.Placing
}

func callCommand() *cobra.Command {
	c := cli.Command("call", "Place one test call, print its ladder and the quality of its RTP",
		"Call a SIP URI with G.711 over UDP, TCP or TLS, listen and speak for some seconds, and show the SIP messages, the\n"+
			"quality of the audio and how long the answers took. The exit code is 0 only if the call was answered and audio came\n"+
			"back. Ctrl-C hangs up. A call that gets no answer at all is given up soon. If the configuration is that of the called\n"+
			"Flowbridge, it says why.\n\n"+
			"With --via a running Flowbridge places the call instead: it calls the number --to over that trunk, and connects an agent\n"+
			"when the customer answers. Then the exit code is 0 only if an agent was connected.",
		"  flowbridge call --to sip:+15075785607@127.0.0.1:5060\n"+
			"  flowbridge call --to 'sip:100@pbx.example.com;transport=tls' --from 200 --user 200 --password-env PBX_PASSWORD --seconds 10\n"+
			"  flowbridge call --to sip:100@127.0.0.1 --header 'X-Test: yes' --listen 127.0.0.5:5070 --json\n"+
			"  flowbridge call --via carrier --to +15075785607 --from +12125550100 --variable first_name=Ann")
	var o testCall
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "SIP URI to call; ;transport=tcp or tls instead of UDP")
	f.StringVar(&o.from, "from", "flowbridge-test", "number, or other user part, of the caller; required with --via")
	f.IntVar(&o.seconds, "seconds", 7, "how long to talk: it listens for 2 s and speaks for 3 s, in turns")
	f.StringArrayVar(&o.headers, "header", nil, "a further header of the INVITE, 'Name: value'; may be repeated")
	f.StringVar(&o.listen, "listen", "",
		"IP address and port to call from (default the interface that leads there, any port)")
	f.StringVar(&o.user, "user", "", "user name for a challenge (401, 407)")
	f.StringVar(&o.passwordEnv, "password-env", "", "environment variable with the password for it")
	f.StringVar(&o.authority, "ca", "", "PEM file of the authorities for TLS (default those of the system)")
	f.BoolVar(&o.insecure, "insecure", false, "take any certificate over TLS")
	cli.ConfigFlagTo(c, &o.file, "configuration of the called Flowbridge, to say why it does not answer")
	f.BoolVar(&o.asJSON, "json", false, "print JSON instead of text")
	o.placing = operate.PlacingFlags(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, stop := cli.Interruptible(c.Context())
		defer stop()
		context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the hang-up
		o.fileNamed = c.Flags().Changed("config")
		if err := o.placing.Check(c.Flags()); err != nil {
			return err
		}
		if o.placing.Via != "" {
			return o.placing.Place(ctx, c.OutOrStdout(), o.file, o.from, o.to, o.headers, o.asJSON)
		}
		return o.place(ctx, c.OutOrStdout())
	}
	return c
}

// silences are how long a call may stay without any answer: in general, and if the configuration says that there will
// be none.
const (
	silence      = 10 * time.Second
	shortSilence = 2 * time.Second
)

// place places the call and prints how it went.
func (o *testCall) place(ctx context.Context, w io.Writer) error {
	text := w
	if o.asJSON {
		text = io.Discard
	}
	call, to, host, err := o.carrierCall()
	if err != nil {
		return err
	}
	if to.Addr, err = lookUp(ctx, "--to", to.Network, host, to.Addr.Port()); err != nil {
		return err
	}
	call.Dest = to.Addr
	listen, err := callFrom(ctx, o.listen, call.Dest)
	if err != nil {
		return err
	}
	hint, err := o.hint(to, listen.Addr())
	if err != nil {
		return err
	}
	var trace testcall.Messages
	carrier, err := sim.StartCarrier(context.WithoutCancel(ctx),
		sim.CarrierOptions{Listen: listen.String(), To: &to, Tap: trace.Add, Log: zerolog.Nop()})
	if errors.Is(err, sim.ErrUnreachable) {
		hint = cmp.Or(o.noListener(to), hint)
		return o.notStarted(w, unanswered(err, hint, listen.Addr()), hint)
	}
	if err != nil {
		return o.notStarted(w, err, "")
	}
	fmt.Fprintf(text, "calling %s at %v from %v over %s\n", o.to, call.Dest, carrier.Addr(), to.Network)
	call.Silence = silence
	if hint != "" {
		fmt.Fprintln(text, "note:", hint)
		call.Silence = shortSilence
	}
	fmt.Fprintln(text)
	result, failed := carrier.Call(ctx, call)
	err = carrier.Close() // messages still on their way belong in the ladder
	trace.Ladder(text, result.SIPCallID)
	hint, verdict := o.verdict(ctx, text, result, failed, hint, to, carrier.Addr().Addr())
	verdict = errors.Join(verdict, err)
	if o.asJSON {
		err = cli.PrintJSON(w, testcall.Summarize(result, &trace, verdict, hint))
		return errors.Join(verdict, err)
	}
	return verdict
}

// verdict prints the outcome of a call, and returns the error of a failed one with a hint that fits.
func (o *testCall) verdict(ctx context.Context, text io.Writer, result sim.CarrierResult, failed error, hint string,
	to sim.Peer, from netip.Addr,
) (better string, verdict error) {
	verdict = testcall.Report(text, result)
	switch {
	case ctx.Err() != nil && result.AnsweredAt.IsZero():
		verdict = errors.New("given up before there was an answer")
	case failed != nil && result.AnsweredAt.IsZero():
		if errors.Is(failed, sim.ErrUnreachable) {
			hint = cmp.Or(o.noListener(to), hint)
		}
		verdict = unanswered(failed, hint, from)
	case failed != nil:
		verdict = failed
	case result.AnsweredAt.IsZero():
		if why := testcall.Refused(result.Status, o.explained(from)); why != "" {
			hint, verdict = why, fmt.Errorf("%w\n%s", verdict, why)
		}
	}
	return hint, verdict
}

// notStarted returns the error of a call that could not be placed.
func (o *testCall) notStarted(w io.Writer, err error, hint string) error {
	if o.asJSON {
		return errors.Join(err, cli.PrintJSON(w, testcall.Summarize(sim.CarrierResult{}, &testcall.Messages{}, err, hint)))
	}
	return err
}

// unanswered says why a call got no answer, as far as this side can tell.
func unanswered(failed error, hint string, source netip.Addr) error {
	switch {
	case hint != "":
	case errors.Is(failed, sim.ErrUnreachable):
		hint = "is the address right, and does the callee run?"
	default:
		hint = fmt.Sprintf("if it is a Flowbridge, its log says why (sip rejected): is %v in trunks[].sources?", source)
	}
	return fmt.Errorf("not answered: %w\n%s", failed, hint)
}

// noListener says that the called Flowbridge does not listen there, if its configuration is at hand.
func (o *testCall) noListener(to sim.Peer) string {
	cfg, err := config.LoadSections(o.file, "sip")
	if err != nil {
		return ""
	}
	return testcall.NoListener(config.ShownName(o.file), cfg, strings.ToLower(to.Network), to.Addr, o.fileNamed)
}

// explained returns the options of `flowbridge explain` for this call.
func (o *testCall) explained(source netip.Addr) string {
	number, _, _ := strings.Cut(strings.TrimPrefix(o.to, "sip:"), "@")
	var options []string
	add := func(name, value string) { options = append(options, "--"+name, cli.ShellWord(value)) }
	add("source", source.String())
	add("from", o.from)
	add("to", number)
	if o.fileNamed && o.file != config.Stdin {
		add("config", o.file)
	}
	for _, h := range o.headers {
		add("header", h)
	}
	return strings.Join(options, " ")
}

// hint says why the called Flowbridge will not answer, if its configuration is at hand.
func (o *testCall) hint(to sim.Peer, source netip.Addr) (string, error) {
	cfg, err := config.LoadSections(o.file, "sip", "media", "trunks")
	if err != nil {
		if o.fileNamed {
			return "", err
		}
		return "", nil // the configuration may be missing, or belong to another Flowbridge
	}
	return testcall.Hint(config.ShownName(o.file), cfg, strings.ToLower(to.Network), source, to.Addr, o.fileNamed), nil
}

// carrierCall checks the command line. The address of the returned peer is not known yet.
func (o *testCall) carrierCall() (call sim.CarrierCall, to sim.Peer, host string, err error) {
	to.Network, host, to.Addr, err = o.callee()
	switch {
	case err != nil:
		return call, to, "", err
	case !cli.IsPrintable(o.from) || strings.ContainsAny(o.from, `<>"@:;`):
		return call, to, "", cli.Usage("--from %q: write a number, or a user part", o.from)
	case o.seconds < 1 || o.seconds > 3600:
		return call, to, "", cli.Usage("--seconds %d: 1 to 3600", o.seconds)
	case (o.user == "") != (o.passwordEnv == ""):
		return call, to, "", cli.Usage("--user and --password-env belong together")
	case to.Network != "TLS" && (o.insecure || o.authority != ""):
		return call, to, "", cli.Usage("--ca and --insecure are for calls over TLS: add ;transport=tls to the URI of --to")
	}
	call = sim.CarrierCall{
		To: o.to, From: o.from, Hold: time.Duration(o.seconds) * time.Second, CancelAfter: testcall.RingLimit, Seed: 1,
		Username: o.user, Listens: true,
	}
	if o.user != "" {
		password, set := os.LookupEnv(o.passwordEnv)
		if !set {
			return call, to, "", cli.Usage("--password-env: the environment has no %s", o.passwordEnv)
		}
		call.Password = password
	}
	if to.TLS, err = o.tls(host); err != nil {
		return call, to, "", err
	}
	call.Headers, err = headersOf(o.headers)
	return call, to, host, err
}

// tls returns the settings for checking the callee's certificate.
func (o *testCall) tls(host string) (*tls.Config, error) {
	c := &tls.Config{
		ServerName: host, MinVersion: tls.VersionTLS12,
		InsecureSkipVerify: o.insecure,
	} //nolint:gosec // on demand
	if o.authority == "" {
		return c, nil
	}
	pem, err := os.ReadFile(o.authority)
	if err != nil {
		return nil, cli.Usage("--ca: %w", err)
	}
	c.RootCAs = x509.NewCertPool()
	if !c.RootCAs.AppendCertsFromPEM(pem) {
		return nil, cli.Usage("--ca %s: the file has no certificate in PEM", o.authority)
	}
	return c, nil
}

// callee returns the transport, host and port of --to, a SIP URI without a password. The port is 0 if the URI has none.
func (o *testCall) callee() (network, host string, port netip.AddrPort, err error) {
	rest, isSIP := strings.CutPrefix(o.to, "sip:")
	user, after, hasUser := strings.Cut(rest, "@")
	if !hasUser {
		user, after = "", rest
	}
	after, _, _ = strings.Cut(after, "?")
	at, parameters, _ := strings.Cut(after, ";")
	network = "UDP"
	for p := range strings.SplitSeq(parameters, ";") {
		if name, value, _ := strings.Cut(p, "="); strings.EqualFold(name, "transport") {
			network = strings.ToUpper(value)
		}
	}
	host, number, ok := cli.HostPort(at, 5060)
	if _, written := config.HostPort("sip:" + at); written == 0 {
		number = 0
	}
	switch {
	case o.to == "":
		err = cli.Usage("--to is needed, like sip:100@127.0.0.1:5060")
	case !isSIP || !ok || strings.Contains(user, ":") || !cli.IsPrintable(o.to):
		err = cli.Usage("--to %q: write a SIP URI, like sip:100@127.0.0.1:5060", o.to)
	case network != "UDP" && network != "TCP" && network != "TLS":
		err = cli.Usage("--to: this command calls over udp, tcp and tls, not over %s", strings.ToLower(network))
	}
	return network, host, netip.AddrPortFrom(netip.Addr{}, number), err
}

// headersOf reads the values of --header.
func headersOf(lines []string) ([]sim.Header, error) {
	var all []sim.Header
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || !cli.IsPrintable(name) ||
			strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, cli.Usage("--header %q: write 'Name: value'", line)
		}
		all = append(all, sim.Header{Name: name, Value: value})
	}
	return all, nil
}

// lookUp returns the first address of a host from a flag. It looks hosts up as calls look up targets (RFC 3263). If
// port is 0, the DNS records decide the port.
func lookUp(ctx context.Context, flag, network, host string, port uint16) (netip.AddrPort, error) {
	ctx, cancel := context.WithCancel(ctx)
	names := locate.New(ctx, locate.Options{})
	defer names.Wait()
	defer cancel()
	hops, err := names.Locate(ctx, "", locate.Query{Host: host, Port: int(port), Transport: strings.ToLower(network)})
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s: %w", flag, err)
	}
	return hops[0].Addr, nil
}

// callFrom returns the address to call from: the address in --listen, or else this machine's address towards the
// destination.
func callFrom(ctx context.Context, listen string, dest netip.AddrPort) (netip.AddrPort, error) {
	if listen != "" {
		at, err := netip.ParseAddrPort(listen)
		if err != nil || dest.IsValid() && at.Addr().Unmap().Is4() != dest.Addr().Is4() {
			return at, cli.Usage(
				"--listen %q: write an IP address of the same kind as the called one, and a port, like 127.0.0.1:0", listen)
		}
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
	}
	if !dest.IsValid() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), nil
	}
	ip, err := local.Towards(ctx, dest.String())
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find the route to %v: %w", dest.Addr(), err)
	}
	return netip.AddrPortFrom(ip, 0), nil
}
