package whatsapp

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"

	"flowbridge/sim"
)

// The kinds of media that can be set at the business number.
const (
	MediaICE  = "ice"
	MediaSDES = "sdes"
)

// domain is Meta's SIP domain.
const domain = "wa.meta.vc"

// WhatsApp waits so long for the business's first packet of audio, and for one in mid-call.
const (
	patience      = 20 * time.Second
	laterPatience = 30 * time.Second
)

// Call is the call of a WhatsApp user.
type Call struct {
	To       netip.AddrPort // the business's SIP server
	TLS      *tls.Config    // says how to check its certificate
	Host     string         // the server's name, in URIs
	Business string         // number of the business, like +15075785607
	From     string         // the user's number
	Listen   string         // address to call from; "127.0.0.1:0" if empty
	Media    string         // MediaICE or MediaSDES
	Password string         // of the business number, for a challenge; without one a challenge ends the call
	Headers  []sim.Header   // further headers of the INVITE
	Hold     time.Duration  // time from the answer to the BYE; zero: the other side or the context ends the call
	Seed     uint64         // selects the caller's words
	Silence  time.Duration  // how long to wait for any response
	GiveUp   time.Duration  // how long the call may ring; zero: forever
	Tap      func(sim.Datagram)
}

// Result is a call as WhatsApp saw it.
type Result struct {
	sim.CarrierResult
	Checks  Checks
	Silent  bool    // the call was ended because no audio came
	OwnBack float64 // how alike the words that were said and the best matching audio that came are: see sim.Match
	Failed  string  // why there are no keys; empty if there are, or if no handshake began
}

// Checks counts the connectivity checks that came.
type Checks struct {
	Answered uint64
	Refused  map[int]uint64 // by the code of the answer
	Dropped  uint64         // got no answer
	Chosen   netip.AddrPort // the address that was nominated last; invalid if none
}

// Validate returns an error that says what is wrong with a call.
func (c Call) Validate() error {
	switch {
	case c.Media != MediaICE && c.Media != MediaSDES:
		return fmt.Errorf("media %q: %s or %s", c.Media, MediaICE, MediaSDES)
	case !isNumber(c.Business):
		return fmt.Errorf("the business number %q: write it like +15075785607", c.Business)
	case !isNumber(c.From):
		return fmt.Errorf("the user's number %q: write it like +15550100001", c.From)
	}
	return nil
}

func isNumber(s string) bool {
	digits, ok := strings.CutPrefix(s, "+")
	_, err := strconv.ParseUint(digits, 10, 64)
	return ok && err == nil && len(digits) >= 4
}

// Place places a call, and returns when it is over. If the call is refused, that is a result and not an error.
func Place(ctx context.Context, c Call) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	listen, err := netip.ParseAddrPort(cmp.Or(c.Listen, "127.0.0.1:0"))
	if err != nil {
		return Result{}, fmt.Errorf("listen address %q: %w", c.Listen, err)
	}
	// SIP must outlive ctx, so that the call can hang up.
	carrier, err := sim.StartCarrier(context.WithoutCancel(ctx), sim.CarrierOptions{
		Listen: listen.String(), To: &sim.Peer{Network: "TLS", Addr: c.To, TLS: c.TLS}, Tap: c.Tap, Log: zerolog.Nop(),
	})
	if err != nil {
		return Result{}, err
	}
	t, err := newTerminal(carrier.Addr().Addr(), c)
	if err != nil {
		return Result{}, errors.Join(err, carrier.Close())
	}
	r := Result{}
	r.CarrierResult, err = carrier.Call(ctx, c.outgoing(t))
	t.Close()
	t.judge(&r)
	return r, errors.Join(err, carrier.Close())
}

// outgoing returns the call with the headers that Meta's INVITE has.
func (c Call) outgoing(t *terminal) sim.CarrierCall {
	id := "wacid." + base64.StdEncoding.EncodeToString([]byte(uuid.NewString()+"v")) // ends with "=", as Meta's may
	digits := strings.TrimPrefix(c.From, "+")
	call := sim.CarrierCall{
		To: fmt.Sprintf("sip:%s@%s;transport=tls", c.Business, c.Host), Dest: c.To,
		From: c.From, DisplayName: digits, Hold: c.Hold, Silence: c.Silence, CancelAfter: c.GiveUp,
		Terminal: t,
		Identity: &sim.Identity{
			CallID: "outgoing:" + id, Host: domain, Allow: "INVITE, ACK, BYE, CANCEL, NOTIFY, OPTIONS",
			Bye: func(lasted time.Duration) []sim.Header {
				return []sim.Header{
					{Name: "x-wa-meta-wacid", Value: id},
					{Name: "x-wa-meta-call-duration", Value: strconv.Itoa(int(lasted.Seconds()))},
				}
			},
		},
		Headers: append([]sim.Header{
			{Name: "X-FB-External-Domain", Value: domain},
			{Name: "x-wa-meta-wacid", Value: id},
			{Name: "User-Agent", Value: "Facebook SipGateway"},
		}, c.Headers...),
	}
	if c.Password != "" { // Meta's user name is the number's digits
		call.Username, call.Password = strings.TrimPrefix(c.Business, "+"), c.Password
	}
	return call
}
