package twilio

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"flowbridge/sim"
)

// Dial is an INVITE that Twilio sent.
type Dial struct {
	CallSID string       // CallSid of the INVITE; the webhook's call has another one
	URI     string       // the URI with its headers
	Headers []sim.Header // added to the INVITE, in order
	Result  sim.CarrierResult
}

// run is a call in progress. The goroutine of Call owns it.
type run struct {
	platform *Platform
	call     Call
	result   Result
	asked    int // number of documents requested

	began    time.Time
	answered bool // Twilio has answered the caller
	gone     bool // the caller has hung up
}

// webhookURL is the URL of a webhook. signed is the same URL as seen from outside.
type webhookURL struct{ at, signed *url.URL }

// webhook requests the Voice URL and runs one document after another.
func (r *run) webhook(ctx context.Context) error {
	at, err := url.Parse(r.call.VoiceURL)
	if err != nil {
		return err
	}
	next := &webhookStep{webhookURL: webhookURL{at, at}, method: r.call.method()}
	if r.call.PublicURL != "" {
		if next.signed, err = url.Parse(r.call.PublicURL); err != nil {
			return err
		}
	}
	home := next.webhookURL
	for next != nil {
		if r.asked++; r.asked > maxDocuments {
			return failure(codeRetrieval, "more than %d documents: they ask for each other", maxDocuments)
		}
		verbs, failed := r.fetch(ctx, *next)
		if failed != nil {
			return failed
		}
		if r.gone { // the action URL was requested, but the caller is gone
			return nil
		}
		if next, err = r.run(ctx, home, next.webhookURL, verbs); err != nil {
			return err
		}
	}
	return nil
}

// webhookStep is the request for a document.
type webhookStep struct {
	webhookURL
	method string
	params url.Values // parameters in addition to those of every request
}

// run runs the verbs of a document. If it returns no next step, the call is over.
func (r *run) run(ctx context.Context, home, here webhookURL, verbs []verb) (*webhookStep, error) {
	r.result.Outcome = cmp.Or(r.result.Outcome, OutcomeEnded)
	for _, v := range verbs {
		r.result.Verbs = append(r.result.Verbs, v.String())
		switch v.name {
		case "Reject":
			r.result.Outcome = OutcomeRejected
			return nil, nil
		case "Hangup":
			return nil, nil
		case "Redirect":
			return nextStep(home, here, v.text, v.attrs["method"], nil)
		case "Say":
			r.answered = true
		case "Dial":
			params, err := r.dial(ctx, v)
			switch {
			case err != nil:
				return nil, err
			case v.attrs["action"] != "":
				return nextStep(home, here, v.attrs["action"], v.attrs["method"], params)
			case r.gone || params.Get("DialCallStatus") == "completed":
				return nil, nil
			}
		}
	}
	return nil, nil
}

// String returns the verb on one line.
func (v verb) String() string {
	text := v.text
	for _, n := range v.nouns {
		text = n.text
	}
	if reason := v.attrs["reason"]; reason != "" {
		text = reason
	}
	return strings.TrimSpace(strings.ToLower(v.name) + " " + text)
}

// nextStep returns the request for the next document. A document may name only loopback or the host of the Voice URL.
func nextStep(home, here webhookURL, ref, method string, params url.Values) (*webhookStep, error) {
	u, err := here.signed.Parse(ref)
	if err != nil {
		return nil, failure(codeRetrieval, "%q is not a URL", ref)
	}
	s := &webhookStep{webhookURL: webhookURL{u, u}, method: cmp.Or(method, http.MethodPost), params: params}
	switch {
	case u.Scheme == home.signed.Scheme && u.Host == home.signed.Host:
		at := *u
		at.Scheme, at.Host = home.at.Scheme, home.at.Host
		s.at = &at
	case u.Host != home.at.Host && !isLoopback(u.Hostname()):
		return nil, failure(codeRetrieval,
			"the document names %s, which is neither the Voice URL's host nor loopback: not asked", u.Host)
	}
	return s, nil
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback() || host == "localhost"
}

// dial runs <Dial> and returns the parameters for the action URL (twilio.com/docs/voice/twiml/dial and /sip).
func (r *run) dial(ctx context.Context, v verb) (url.Values, error) {
	if len(v.nouns) == 0 || v.nouns[0].name != "Sip" {
		r.result.Outcome = OutcomeNumber
		return url.Values{"DialCallStatus": {"completed"}}, nil
	}
	uri, failed := parseDialledURI(v.nouns[0].text)
	if failed != nil {
		return nil, failed
	}
	r.result.Warnings = append(r.result.Warnings, uri.warnings...)
	ringing := defaultRinging
	if n, err := strconv.Atoi(v.attrs["timeout"]); err == nil {
		ringing = time.Duration(n) * time.Second
	}
	left := r.patience()
	d := Dial{CallSID: newSID("CA"), URI: v.nouns[0].text, Headers: uri.headers}
	noun := v.nouns[0].attrs
	if err := r.invite(ctx, &d, uri.address, sim.CarrierCall{
		From: cmp.Or(v.attrs["callerId"], r.call.From), CancelAfter: min(ringing, left), Username: noun["username"],
		Password: noun["password"],
	}); err != nil {
		return nil, err
	}
	got := d.Result
	r.answered = r.answered || !got.AnsweredAt.IsZero() || v.attrs["answerOnBridge"] != "true"
	r.gone = got.EndedBy == sim.SideCaller || got.Cancelled && left <= ringing
	params := url.Values{
		"DialCallSid": {d.CallSID}, "DialCallStatus": {r.dialStatus(got)},
		"DialSipCallId": {got.SIPCallID}, "DialSipResponseCode": {strconv.Itoa(got.Status)},
	}
	if !got.AnsweredAt.IsZero() {
		params.Set("DialCallDuration", strconv.Itoa(int(got.EndedAt.Sub(got.AnsweredAt).Round(time.Second)/time.Second)))
	}
	for _, line := range got.Headers {
		if name, value, _ := strings.Cut(line, ":"); strings.HasPrefix(strings.ToLower(name), "x-") {
			params.Add("DialSipHeader_"+name, strings.TrimSpace(value))
		}
	}
	return params, nil
}

// patience returns how long the caller still waits for an answer.
func (r *run) patience() time.Duration {
	if r.call.GiveUp == 0 {
		return time.Hour // longer than any <Dial> rings
	}
	return max(time.Until(r.began.Add(r.call.GiveUp)), time.Millisecond)
}

// callStatus returns Twilio's word for the state of the caller's call.
func (r *run) callStatus() string {
	switch {
	case r.gone:
		return "completed"
	case r.answered:
		return "in-progress"
	default:
		return "ringing"
	}
}

// dialStatus returns Twilio's word for the end of a dialled call.
func (r *run) dialStatus(c sim.CarrierResult) string {
	switch {
	case !c.AnsweredAt.IsZero():
		return "completed"
	case r.gone:
		return "canceled"
	case c.Status == 486 || c.Status == 600: // busy here, busy everywhere
		return "busy"
	case c.Cancelled || c.Status == 408 || c.Status == 480: // timeout, temporarily unavailable
		return "no-answer"
	default:
		return "failed"
	}
}

// trunk calls the number at the origination URI, as an Elastic SIP trunk does.
func (r *run) trunk(ctx context.Context) error {
	to, err := trunkURI(r.call.Trunk, r.call.Called)
	if err != nil {
		return err
	}
	d := Dial{CallSID: r.call.CallSID, URI: to}
	identity := "<sip:" + callerUser(r.call.From) + "@pstn.twilio.com>"
	if r.call.Asserted {
		d.Headers = append(d.Headers, sim.Header{Name: "P-Asserted-Identity", Value: identity})
	}
	if r.call.ForwardedFrom != "" {
		d.Headers = append(d.Headers, sim.Header{
			Name:  "Diversion",
			Value: "<sip:" + callerUser(r.call.ForwardedFrom) + "@pstn.twilio.com>;reason=unconditional",
		})
	}
	return r.invite(ctx, &d, to, sim.CarrierCall{
		From: r.call.From, CancelAfter: defaultRinging,
		DisplayName: r.call.CallerName,
	})
}

// trunkURI inserts the called number into an origination URI.
func trunkURI(trunk, called string) (string, error) {
	rest, ok := strings.CutPrefix(trunk, "sip:")
	uri := "sip:" + called + "@" + rest
	if !ok || strings.ContainsAny(rest, "@?") || !sipAddress.MatchString(uri) {
		return "", fmt.Errorf("trunk %q: write it without a user, like sip:127.0.0.1:5060", trunk)
	}
	return uri, nil
}

// callerUser returns the number of a caller, or the user of a SIP URI.
func callerUser(party string) string {
	if rest, ok := strings.CutPrefix(party, "sip:"); ok {
		party, _, _ = strings.Cut(rest, "@")
	}
	return party
}

// invite sends the INVITE with Twilio's own headers and waits for the end of the call.
func (r *run) invite(ctx context.Context, d *Dial, to string, cc sim.CarrierCall) error {
	var err error
	if cc.Dest, err = r.destination(to); err != nil {
		return err
	}
	d.Headers = append(d.Headers, sim.Header{Name: "X-Twilio-AccountSid", Value: r.result.AccountSID},
		sim.Header{Name: "X-Twilio-ApiVersion", Value: apiVersion},
		sim.Header{Name: "X-Twilio-CallSid", Value: d.CallSID})
	cc.To, cc.From, cc.Headers = to, callerUser(cc.From), d.Headers
	cc.Hold, cc.Heard = r.call.Hold, r.call.Heard
	r.result.Outcome = OutcomeDialled
	d.Result, err = r.platform.carrier.Call(ctx, cc)
	r.result.Dials = append(r.result.Dials, *d)
	return err
}

// destination returns the address for INVITEs: Call.Dest, or the URI's address if that is loopback. It does not look
// up names.
func (r *run) destination(to string) (netip.AddrPort, error) {
	parts := sipAddress.FindStringSubmatch(to)
	if parts == nil {
		return netip.AddrPort{}, failure(codeURI, "%q is not a SIP URI", to)
	}
	scheme, host, digits, params := parts[1], strings.Trim(parts[2], "[]"), strings.TrimPrefix(parts[3], ":"),
		strings.ToLower(parts[4])
	if over := transport.FindStringSubmatch(params); scheme != "sip" || over != nil && over[1] != "udp" {
		return netip.AddrPort{}, errors.New("the URI asks for TCP or TLS, and this stand-in calls over UDP only")
	}
	if r.call.Dest.IsValid() {
		return r.call.Dest, nil
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	if !isLoopback(host) {
		return netip.AddrPort{}, failure(codeUnresolved,
			"the URI names %s, which is not loopback: say where the INVITE is to go instead", parts[2])
	}
	port, err := strconv.ParseUint(cmp.Or(digits, "5060"), 10, 16)
	if err != nil {
		return netip.AddrPort{}, failure(codeURI, "%q has an invalid port", to)
	}
	ip, err := netip.ParseAddr(host)
	return netip.AddrPortFrom(ip.Unmap(), uint16(port)), err
}
