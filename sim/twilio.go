package sim

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/rs/zerolog"
)

const (
	twilioAPIVersion = "2010-04-01"
	twilioPatience   = 15 * time.Second // for an answer of a webhook
	twilioRinging    = 30 * time.Second // <Dial timeout>
	maxDocuments     = 10               // TwiML of one call; more are a loop
)

// TwilioOptions say whose Twilio it is and where it sends from.
type TwilioOptions struct {
	Listen     string         // SIP over UDP; "127.0.0.1:0" if empty
	MediaAddr  netip.Addr     // address of RTP; the listener's if zero
	AccountSID string         // made up if empty
	AuthToken  string         // signs requests; empty: they are not signed
	Tap        func(Datagram) // sees every SIP message; must not block; nil: nobody
	Log        zerolog.Logger
}

// TwilioCall is a call that comes in to Twilio: to a number with a Voice URL,
// or to one of an Elastic SIP trunk.
type TwilioCall struct {
	VoiceURL  string // asked for TwiML; empty with Trunk
	PublicURL string // what Twilio was given, where VoiceURL is behind a proxy: it is signed; empty: VoiceURL
	Method    string // GET or POST; POST, Twilio's default, if empty

	Trunk string // origination URI of a trunk, like sip:127.0.0.1:5060, instead of VoiceURL

	Called        string // the Twilio number
	From          string // the caller
	CallSID       string // made up if empty
	ForwardedFrom string // parameter of the webhook, Diversion of a trunk's INVITE
	CallerName    string
	Asserted      bool     // P-Asserted-Identity in a trunk's INVITE
	SIPHeaders    []Header // X- headers of a caller who came to a SIP domain; not for trunks

	Dest   netip.AddrPort // where INVITEs are sent; zero: where the URI says, if that is loopback
	GiveUp time.Duration  // the caller hangs up that long after the call came in, if nobody has answered by then; zero: never
	Hold   time.Duration  // from the answer to the BYE; zero: until the far end or ctx ends it
	Seed   uint64         // of the caller's words
	Fault  TwilioFault
}

// Outcomes of a call at Twilio.
const (
	TwilioDialled  = "dialled"  // a SIP URI or a trunk, whatever became of that
	TwilioNumber   = "number"   // another number would be dialled
	TwilioRejected = "rejected" // <Reject>
	TwilioEnded    = "ended"    // the document had nobody to dial
)

// TwilioResult is what became of a call.
type TwilioResult struct {
	AccountSID string
	CallSID    string
	Requests   []TwilioRequest // to webhooks, in order
	Verbs      []string        // that were run, in order
	Dials      []TwilioDial    // INVITEs, in order
	Warnings   []string        // of Twilio's debugger
	Outcome    string
}

// Twilio is a stand-in for Twilio: it asks a Voice URL what to do with a call
// and does it, or calls a trunk.
type Twilio struct {
	opts    TwilioOptions
	carrier *Carrier
	http    *http.Client
}

// StartTwilio opens the SIP socket. Cancelling ctx ends the calls.
func StartTwilio(ctx context.Context, o TwilioOptions) (*Twilio, error) {
	if o.AccountSID == "" {
		o.AccountSID = newSID("AC")
	}
	carrier, err := StartCarrier(ctx, CarrierOptions{Listen: o.Listen, MediaAddr: o.MediaAddr, Tap: o.Tap, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("twilio-sim: %w", err)
	}
	return &Twilio{opts: o, carrier: carrier, http: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // and no proxy: the URL is where requests go
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// newSID makes an identifier as Twilio's are: two letters and 32 hex digits.
func newSID(kind string) string { return kind + strings.ReplaceAll(uuid.NewString(), "-", "") }

// Addr is where INVITEs come from.
func (t *Twilio) Addr() netip.AddrPort { return t.carrier.Addr() }

// Close hangs up and waits until nothing of it runs.
func (t *Twilio) Close() error { return t.carrier.Close() }

// Validate says what is wrong with a call before it is placed.
func (c TwilioCall) Validate() error {
	if (c.VoiceURL == "") == (c.Trunk == "") {
		return errors.New("one of a Voice URL and a trunk's URI is needed")
	}
	for name, text := range map[string]string{"Voice URL": c.VoiceURL, "public URL": c.PublicURL} {
		if u, err := url.Parse(text); text != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "") {
			return fmt.Errorf("%s: write an http or https URL without user name, like http://127.0.0.1:8081/redirect_call", name)
		}
	}
	if _, err := trunkURI(c.Trunk, "x"); c.Trunk != "" && err != nil {
		return err
	}
	switch {
	case c.Called == "":
		return errors.New("the number that is called is needed")
	case c.GiveUp < 0:
		return fmt.Errorf("giving up after %v: a time from 0 on", c.GiveUp)
	case c.GiveUp > 0 && c.Trunk != "":
		return errors.New("a caller who gives up is of webhooks, not of trunks")
	case c.Method != "" && c.Method != http.MethodGet && c.Method != http.MethodPost:
		return fmt.Errorf("method %q: GET or POST", c.Method)
	case c.Trunk != "" && c.Fault.Kind != TwilioFaultNone:
		return fmt.Errorf("fault %s is of webhooks, not of trunks", c.Fault.Kind)
	}
	for _, h := range c.SIPHeaders {
		if !strings.HasPrefix(strings.ToLower(h.Name), "x-") {
			return fmt.Errorf("header %q: Twilio passes X- headers on, and no others", h.Name)
		}
	}
	return c.Fault.check(c.method())
}

func (c TwilioCall) method() string {
	if c.Method == "" {
		return http.MethodPost
	}
	return c.Method
}

// Call places a call and returns when it is over. What the far end of an
// INVITE did is in the result; an error is a TwilioError where Twilio would
// tell the caller that an application error has occurred, or says why the
// call could not be placed.
func (t *Twilio) Call(ctx context.Context, c TwilioCall) (TwilioResult, error) {
	if err := c.Validate(); err != nil {
		return TwilioResult{}, err
	}
	if c.CallSID == "" {
		c.CallSID = newSID("CA")
	}
	r := &twilioRun{twilio: t, call: c, began: time.Now(), result: TwilioResult{AccountSID: t.opts.AccountSID, CallSID: c.CallSID}}
	ask := r.webhook
	if c.Trunk != "" {
		ask = r.trunk
	}
	err := ask(ctx)
	return r.result, err
}
