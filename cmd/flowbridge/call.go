package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/b2bua/transport"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/sim"
)

// testCall is the call of the command line.
type testCall struct {
	to, from, listen, user string
	passwordEnv            string
	headers                []string
	seconds                int
}

func callCommand() *cobra.Command {
	c := cli.Command("call", "Place one test call, print its ladder and the quality of its RTP",
		"Call a SIP URI with G.711, speak for some seconds, and show the SIP messages and the quality of the audio. The\n"+
			"exit code is 0 only if the call was answered and audio came back. Ctrl-C hangs up.",
		"  flowbridge call --to sip:+15075785607@127.0.0.1:5060\n"+
			"  flowbridge call --to sip:100@pbx.example.com --from 200 --user 200 --password-env PBX_PASSWORD --seconds 10\n"+
			"  flowbridge call --to sip:100@127.0.0.1 --header 'X-Test: yes' --listen 127.0.0.5:5070")
	var o testCall
	f := c.Flags()
	f.StringVar(&o.to, "to", "", "SIP URI to call")
	f.StringVar(&o.from, "from", "flowbridge-test", "number, or other user part, of the caller")
	f.IntVar(&o.seconds, "seconds", 5, "how long to talk")
	f.StringArrayVar(&o.headers, "header", nil, "a further header of the INVITE, 'Name: value'; may be repeated")
	f.StringVar(&o.listen, "listen", "", "IP address and port to call from (default the interface that leads there, any port)")
	f.StringVar(&o.user, "user", "", "user name for a challenge (401, 407)")
	f.StringVar(&o.passwordEnv, "password-env", "", "environment variable with the password for it")
	c.RunE = func(c *cobra.Command, _ []string) error {
		ctx, stop := cli.Interruptible(c.Context())
		defer stop()
		context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the hang-up
		return o.place(ctx, c.OutOrStdout())
	}
	return c
}

// place places the call and prints how it went.
func (o *testCall) place(ctx context.Context, w io.Writer) error {
	call, host, err := o.carrierCall()
	if err != nil {
		return err
	}
	if call.Dest, err = lookUp(ctx, "--to", host, call.Dest.Port()); err != nil {
		return err
	}
	listen, err := callFrom(ctx, o.listen, call.Dest)
	if err != nil {
		return err
	}
	var trace testcall.Messages
	carrier, err := sim.StartCarrier(context.WithoutCancel(ctx), sim.CarrierOptions{Listen: listen.String(), Tap: trace.Add, Log: zerolog.Nop()})
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	fmt.Fprintf(w, "calling %s at %v from %v\n\n", o.to, call.Dest, carrier.Addr())
	result, failed := carrier.Call(ctx, call)
	err = carrier.Close() // what is still on its way belongs to the ladder
	trace.Ladder(w, result.SIPCallID)
	verdict := testcall.Report(w, result)
	switch {
	case ctx.Err() != nil && result.AnsweredAt.IsZero():
		verdict = errors.New("given up before there was an answer")
	case failed != nil:
		verdict = failed
	}
	return errors.Join(verdict, err)
}

// carrierCall checks the command line. Dest has no address yet.
func (o *testCall) carrierCall() (call sim.CarrierCall, host string, err error) {
	host, port, err := o.callee()
	switch {
	case err != nil:
		return call, "", err
	case !cli.IsPrintable(o.from) || strings.ContainsAny(o.from, `<>"@:;`):
		return call, "", cli.Usage("--from %q: write a number, or a user part", o.from)
	case o.seconds < 1 || o.seconds > 3600:
		return call, "", cli.Usage("--seconds %d: 1 to 3600", o.seconds)
	case (o.user == "") != (o.passwordEnv == ""):
		return call, "", cli.Usage("--user and --password-env belong together")
	}
	call = sim.CarrierCall{
		To: o.to, From: o.from, Dest: netip.AddrPortFrom(netip.Addr{}, port), Hold: time.Duration(o.seconds) * time.Second,
		CancelAfter: testcall.RingLimit, Seed: 1, Username: o.user,
	}
	if o.user != "" {
		password, set := os.LookupEnv(o.passwordEnv)
		if !set {
			return call, "", cli.Usage("--password-env: the environment has no %s", o.passwordEnv)
		}
		call.Password = password
	}
	call.Headers, err = headersOf(o.headers)
	return call, host, err
}

// callee is the host and port of --to: a SIP URI without a password, called over UDP.
func (o *testCall) callee() (host string, port uint16, err error) {
	rest, isSIP := strings.CutPrefix(o.to, "sip:")
	user, after, hasUser := strings.Cut(rest, "@")
	if !hasUser {
		user, after = "", rest
	}
	after, _, _ = strings.Cut(after, "?")
	at, parameters, _ := strings.Cut(after, ";")
	host, port, ok := cli.HostPort(at, 5060)
	switch {
	case o.to == "":
		return "", 0, cli.Usage("--to is needed, like sip:100@127.0.0.1:5060")
	case !isSIP || !ok || strings.Contains(user, ":") || !cli.IsPrintable(o.to):
		return "", 0, cli.Usage("--to %q: write a SIP URI, like sip:100@127.0.0.1:5060", o.to)
	}
	for p := range strings.SplitSeq(parameters, ";") {
		if name, value, _ := strings.Cut(p, "="); strings.EqualFold(name, "transport") && !strings.EqualFold(value, "udp") {
			return "", 0, cli.Usage("this command calls over udp only")
		}
	}
	return host, port, nil
}

// headersOf reads the values of --header.
func headersOf(lines []string) ([]sim.Header, error) {
	var all []sim.Header
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" || !cli.IsPrintable(name) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, cli.Usage("--header %q: write 'Name: value'", line)
		}
		all = append(all, sim.Header{Name: name, Value: value})
	}
	return all, nil
}

// lookUp gives the address of a host from a flag.
func lookUp(ctx context.Context, flag, host string, port uint16) (netip.AddrPort, error) {
	a, err := transport.LookupHost(ctx, host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%s: %w", flag, err)
	}
	return netip.AddrPortFrom(a, port), nil
}

// callFrom is the address to call from: that of --listen, else one on the way to the destination.
func callFrom(ctx context.Context, listen string, dest netip.AddrPort) (netip.AddrPort, error) {
	if listen != "" {
		at, err := netip.ParseAddrPort(listen)
		if err != nil || dest.IsValid() && at.Addr().Unmap().Is4() != dest.Addr().Is4() {
			return at, cli.Usage("--listen %q: write an IP address of the same kind as the called one, and a port, like 127.0.0.1:0", listen)
		}
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
	}
	if !dest.IsValid() {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), 0), nil
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, "udp", dest.String()) // sends nothing: the kernel picks the route
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("find the route to %v: %w", dest.Addr(), err)
	}
	defer conn.Close()
	at, err := netip.ParseAddrPort(conn.LocalAddr().String())
	return netip.AddrPortFrom(at.Addr().Unmap(), 0), err
}
