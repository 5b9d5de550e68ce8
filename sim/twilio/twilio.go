package twilio

import (
	"cmp"
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

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

const (
	apiVersion      = "2010-04-01"
	webhookPatience = 15 * time.Second // time limit for an answer of a webhook
	defaultRinging  = 30 * time.Second // <Dial timeout>
	maxDocuments    = 10               // TwiML documents of one call; more mean a loop
)

// Options configure the stand-in.
type Options struct {
	Listen     string             // SIP over UDP; "127.0.0.1:0" if empty
	AccountSID string             // if empty, a new one is made
	AuthToken  string             // signs requests; if empty, they are not signed
	Tap        func(sim.Datagram) // receives every SIP message; must not block; may be nil
	Log        zerolog.Logger
}

// Call is a call to a Twilio number. The number has a Voice URL or belongs to an Elastic SIP trunk.
type Call struct {
	VoiceURL  string // returns TwiML; empty with Trunk
	PublicURL string // the URL that is signed, if VoiceURL is behind a proxy; if empty, VoiceURL
	Method    string // GET or POST; POST if empty, as at Twilio

	Trunk string // origination URI of a trunk, like sip:127.0.0.1:5060, instead of VoiceURL

	Called        string // the Twilio number
	From          string // the caller
	CallSID       string // if empty, a new one is made
	ForwardedFrom string // parameter of the webhook, Diversion of a trunk's INVITE
	CallerName    string
	Asserted      bool         // P-Asserted-Identity in a trunk's INVITE
	SIPHeaders    []sim.Header // X- headers of a call to a SIP domain; not for trunks

	Dest   netip.AddrPort // where INVITEs are sent; if invalid, to the address in the URI, if that is loopback
	GiveUp time.Duration  // how long the caller of an unanswered call waits before hanging up; zero for ever
	Hold   time.Duration  // time from the answer to the BYE; if zero, the far end or ctx ends the call
	Heard  int            // packets of audio to receive before the BYE; in addition to Hold
	Fault  sim.Fault
}

// Outcomes of a call at Twilio.
const (
	OutcomeDialled  = "dialled"  // a SIP URI or a trunk was called
	OutcomeNumber   = "number"   // the document dials a number, which is not supported
	OutcomeRejected = "rejected" // <Reject>
	OutcomeEnded    = "ended"    // the document dials nothing
)

// Result is the outcome of a call.
type Result struct {
	AccountSID string
	CallSID    string
	Requests   []Request // to webhooks, in order
	Verbs      []string  // in order
	Dials      []Dial    // INVITEs, in order
	Warnings   []string  // entries of Twilio's debugger
	Outcome    string
}

// Platform is the stand-in for Twilio.
type Platform struct {
	opts    Options
	carrier *sim.Carrier
}

// Start opens the SIP socket. If ctx is cancelled, the calls end.
func Start(ctx context.Context, o Options) (*Platform, error) {
	o.AccountSID = cmp.Or(o.AccountSID, newSID("AC"))
	carrier, err := sim.StartCarrier(ctx, sim.CarrierOptions{Listen: o.Listen, Tap: o.Tap, Log: o.Log})
	if err != nil {
		return nil, fmt.Errorf("twilio-sim: %w", err)
	}
	return &Platform{o, carrier}, nil
}

// newSID returns an identifier in Twilio's form: two letters and 32 hex digits.
func newSID(kind string) string { return kind + strings.ReplaceAll(uuid.NewString(), "-", "") }

// Close hangs up and waits for all goroutines.
func (t *Platform) Close() error { return t.carrier.Close() }

// Validate returns an error that says what is wrong with the call.
func (c Call) Validate() error {
	if (c.VoiceURL == "") == (c.Trunk == "") {
		return errors.New("give one of a Voice URL and a trunk's URI")
	}
	for name, text := range map[string]string{"Voice URL": c.VoiceURL, "public URL": c.PublicURL} {
		if text != "" && !isPlainURL(text) {
			return fmt.Errorf("%s: write an http or https URL without user name, like http://127.0.0.1:8081/redirect_call", name)
		}
	}
	if c.Trunk != "" {
		if _, err := trunkURI(c.Trunk, "x"); err != nil {
			return err
		}
	}
	switch {
	case c.Called == "":
		return errors.New("the called number is needed")
	case c.GiveUp < 0:
		return fmt.Errorf("giving up after %v: want 0 or more", c.GiveUp)
	case c.GiveUp > 0 && c.Trunk != "":
		return errors.New("giving up is for webhooks, not for trunks")
	case c.Method != "" && c.Method != http.MethodGet && c.Method != http.MethodPost:
		return fmt.Errorf("method %q: GET or POST", c.Method)
	case c.Trunk != "" && c.Fault.Kind != sim.FaultNone:
		return fmt.Errorf("fault %s is for webhooks, not for trunks", c.Fault.Kind)
	}
	for _, h := range c.SIPHeaders {
		if !strings.HasPrefix(strings.ToLower(h.Name), "x-") {
			return fmt.Errorf("header %q: Twilio passes on only X- headers", h.Name)
		}
	}
	if c.Fault.Kind == faultNoPlus && c.method() != http.MethodGet {
		return fmt.Errorf("fault %s needs method GET: it changes the query", c.Fault.Kind)
	}
	return nil
}

func isPlainURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && standin.IsURL(text) == "" && u.User == nil && u.Fragment == ""
}

func (c Call) method() string { return cmp.Or(c.Method, http.MethodPost) }

// Call places a call and returns when it is over. If an INVITE is refused, that is a result and not an error. The error
// is an *Error if Twilio would tell the caller that an application error has occurred.
func (t *Platform) Call(ctx context.Context, c Call) (Result, error) {
	if err := c.Validate(); err != nil {
		return Result{}, err
	}
	c.CallSID = cmp.Or(c.CallSID, newSID("CA"))
	r := &run{platform: t, call: c, began: time.Now(), result: Result{AccountSID: t.opts.AccountSID, CallSID: c.CallSID}}
	ask := r.webhook
	if c.Trunk != "" {
		ask = r.trunk
	}
	err := ask(ctx)
	return r.result, err
}
