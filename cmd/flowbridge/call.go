package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/b2bua/transport"
	"flowbridge/sim"
)

// ringLimit is how long a test call may ring.
const ringLimit = 60 * time.Second

// testCall is a call to place, as the command line describes it.
type testCall struct {
	to, from, listen, user string
	passwordEnv            string
	headers                []string
	seconds                int
}

func callCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "call",
		Short: "Place one test call, print its ladder and the quality of its RTP",
		Long: "Call a SIP URI with G.711, say something for some seconds, and show the SIP messages and what became of\n" +
			"the audio. Exit code 0 only if the call was answered and audio came back. Ctrl-C hangs up.",
		Example: "  flowbridge call --to sip:+15075785607@127.0.0.1:5060\n" +
			"  flowbridge call --to sip:100@pbx.example.com --from 200 --user 200 --password-env PBX_PASSWORD --seconds 10\n" +
			"  flowbridge call --to sip:100@127.0.0.1 --header 'X-Test: yes' --listen 127.0.0.5:5070",
		Args: usage(cobra.NoArgs),
	}
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
		ctx, stop := signal.NotifyContext(c.Context(), syscall.SIGINT, syscall.SIGTERM)
		defer stop()
		context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the hang-up
		return o.place(ctx, c.OutOrStdout())
	}
	return c
}

// place places the call, and says how it went.
func (o *testCall) place(ctx context.Context, w io.Writer) error {
	call, host, err := o.carrierCall()
	if err != nil {
		return err
	}
	if call.Dest, err = lookUp(ctx, host, call.Dest.Port()); err != nil {
		return err
	}
	listen, err := o.local(ctx, call.Dest)
	if err != nil {
		return err
	}
	var trace messages
	carrier, err := sim.StartCarrier(context.WithoutCancel(ctx), sim.CarrierOptions{Listen: listen.String(), Tap: trace.add, Log: zerolog.Nop()})
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	fmt.Fprintf(w, "calling %s at %v from %v\n\n", o.to, call.Dest, carrier.Addr())
	result, failed := carrier.Call(ctx, call)
	err = carrier.Close() // what is still on its way belongs to the ladder
	trace.ladder(w, result.SIPCallID)
	verdict := report(w, result)
	switch {
	case ctx.Err() != nil && result.AnsweredAt.IsZero():
		verdict = errors.New("given up before there was an answer")
	case failed != nil:
		verdict = failed
	}
	return errors.Join(verdict, err)
}

// carrierCall checks what was asked for. Dest has the port only.
func (o *testCall) carrierCall() (call sim.CarrierCall, host string, err error) {
	bad := func(format string, args ...any) (sim.CarrierCall, string, error) {
		return sim.CarrierCall{}, "", fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, args...))
	}
	var uri sip.Uri
	port := uint16(5060)
	switch err := sip.ParseUri(o.to, &uri); {
	case o.to == "":
		return bad("--to is needed, like sip:100@127.0.0.1:5060")
	case err != nil || uri.Scheme != "sip" || uri.Host == "" || uri.Password != "" || strings.Count(o.to, "@") > 1 || !printable(o.to):
		return bad("--to %q: write a SIP URI, like sip:100@127.0.0.1:5060", o.to)
	case uri.Port < 0 || uri.Port > 65535:
		return bad("--to %q: ports go up to 65535", o.to)
	case uri.Port > 0:
		port = uint16(uri.Port)
	}
	if over, _ := uri.UriParams.Get("transport"); over != "" && !strings.EqualFold(over, "udp") {
		return bad("this command calls over udp only")
	}
	switch {
	case !printable(o.from) || strings.ContainsAny(o.from, `<>"@:;`):
		return bad("--from %q: write a number, or a user part", o.from)
	case o.seconds < 1 || o.seconds > 3600:
		return bad("--seconds %d: 1 to 3600", o.seconds)
	case (o.user == "") != (o.passwordEnv == ""):
		return bad("--user and --password-env belong together")
	}
	call = sim.CarrierCall{
		To: o.to, From: o.from, Dest: netip.AddrPortFrom(netip.Addr{}, port), Hold: time.Duration(o.seconds) * time.Second,
		CancelAfter: ringLimit, Seed: 1, Username: o.user,
	}
	if o.user != "" {
		password, set := os.LookupEnv(o.passwordEnv)
		if !set {
			return bad("--password-env: the environment has no %s", o.passwordEnv)
		}
		call.Password = password
	}
	for _, line := range o.headers {
		h, err := headerOf(line)
		if err != nil {
			return sim.CarrierCall{}, "", err
		}
		call.Headers = append(call.Headers, h)
	}
	return call, strings.Trim(uri.Host, "[]"), nil
}

// headerOf reads the value of a flag --header.
func headerOf(line string) (sim.Header, error) {
	name, value, ok := strings.Cut(line, ":")
	name, value = strings.TrimSpace(name), strings.TrimSpace(value)
	if !ok || name == "" || !printable(name) || strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
		return sim.Header{}, fmt.Errorf("%w: --header %q: write 'Name: value'", errUsage, line)
	}
	return sim.Header{Name: name, Value: value}, nil
}

// printable says whether s is visible ASCII alone.
func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// lookUp gives the address of the host that the operator wrote.
func lookUp(ctx context.Context, host string, port uint16) (netip.AddrPort, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return netip.AddrPortFrom(a.Unmap(), port), nil
	}
	a, err := transport.LookupHost(ctx, host)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("--to: %w", err)
	}
	return netip.AddrPortFrom(a, port), nil
}

// local is where to call from.
func (o *testCall) local(ctx context.Context, dest netip.AddrPort) (netip.AddrPort, error) {
	if o.listen != "" {
		at, err := netip.ParseAddrPort(o.listen)
		if err != nil || at.Addr().Unmap().Is4() != dest.Addr().Is4() {
			return at, fmt.Errorf("%w: --listen %q: write an IP address of the kind of %v and a port, like 127.0.0.1:0", errUsage, o.listen, dest.Addr())
		}
		return netip.AddrPortFrom(at.Addr().Unmap(), at.Port()), nil
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
