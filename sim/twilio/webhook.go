package twilio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"time"

	"flowbridge/platform/twilio"
	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// Request is a request to a webhook and its answer.
type Request struct {
	Method      string  `json:"method"`
	URL         string  `json:"url"` // includes the query of a GET
	Status      int     `json:"status"`
	ContentType string  `json:"content_type"`
	Body        string  `json:"body"` // the body, at most 64 kB of it
	MS          float64 `json:"ms"`   // time until the answer
}

// fetch requests a document.
func (r *run) fetch(ctx context.Context, s webhookStep) ([]verb, error) {
	fault := r.call.Fault
	if r.asked > 1 {
		fault = sim.Fault{}
	}
	got, err := r.ask(ctx, s, fault)
	if err != nil {
		return nil, err
	}
	if got.Status < 200 || got.Status > 299 {
		return nil, failure(codeRetrieval, "%s answered %d: %s", s.at.Redacted(), got.Status, firstLine(got.Body))
	}
	verbs, failed := parseTwiML(got.ContentType, []byte(got.Body))
	if failed != nil {
		return nil, failed
	}
	return verbs, nil
}

// firstLine returns the first line of an answer, for an error.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return sim.Printable(s[:min(len(s), 200)])
}

// ask makes one request and adds it to the result.
func (r *run) ask(ctx context.Context, s webhookStep, fault sim.Fault) (Request, error) {
	if r.gone {
		ctx = context.WithoutCancel(ctx) // the action URL is always told of the end
	}
	ctx, cancel := context.WithTimeoutCause(ctx, webhookPatience, fmt.Errorf("no answer within %v", webhookPatience))
	defer cancel()
	req, err := r.request(ctx, s, fault)
	if err != nil {
		return Request{}, err
	}
	began := time.Now()
	answer, err := standin.Ask(req, maxTwiML)
	got := Request{
		Method: s.method, URL: req.URL.String(), MS: float64(time.Since(began).Microseconds()) / 1000,
		Status: answer.Status, ContentType: answer.ContentType, Body: string(answer.Body),
	}
	r.result.Requests = append(r.result.Requests, got)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil && !errors.Is(err, standin.ErrTooLarge) { // parseTwiML refuses an answer that is too large
		return got, failure(codeRetrieval, "%s: %v", s.at.Redacted(), err)
	}
	return got, nil
}

// request returns the signed request of a step.
func (r *run) request(ctx context.Context, s webhookStep, fault sim.Fault) (*http.Request, error) {
	params := r.params(fault)
	maps.Copy(params, s.params)
	at, signed, form := *s.at, *s.signed, params
	var body io.Reader
	if s.method == http.MethodGet {
		query := params.Encode()
		if fault.Kind == faultNoPlus {
			query = strings.ReplaceAll(query, "%2B", "+")
		}
		at.RawQuery, signed.RawQuery = withQuery(at.RawQuery, query), withQuery(signed.RawQuery, query)
		form = nil
	} else {
		body = strings.NewReader(params.Encode())
	}
	req, err := http.NewRequestWithContext(ctx, s.method, at.String(), body)
	if err != nil {
		return nil, err
	}
	req.Host = signed.Host // a proxy would pass on this host
	req.Header.Set("User-Agent", "TwilioProxy/1.1")
	req.Header.Set("Accept", "*/*")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	}
	token := r.platform.opts.AuthToken
	if fault.Kind == faultBadSignature {
		token += "?"
	}
	if token != "" && fault.Kind != faultNoSignature {
		req.Header.Set(twilio.SignatureHeader, twilio.Sign(token, signed.String(), form))
	}
	return req, nil
}

func withQuery(own, more string) string {
	if own == "" {
		return more
	}
	return own + "&" + more
}

// params returns the parameters of each request (twilio.com/docs/voice/twiml, "Twilio's request to your application").
func (r *run) params(fault sim.Fault) url.Values {
	c := r.call
	p := url.Values{
		"CallSid": {c.CallSID}, "AccountSid": {r.result.AccountSID}, "ApiVersion": {apiVersion},
		"From": {c.From}, "Caller": {c.From}, "To": {c.Called}, "Called": {c.Called},
		"CallStatus": {r.callStatus()}, "Direction": {"inbound"},
	}
	if fault.Kind == faultNoCalled {
		p.Del("Called")
	}
	if c.ForwardedFrom != "" {
		p.Set("ForwardedFrom", c.ForwardedFrom)
	}
	if c.CallerName != "" {
		p.Set("CallerName", c.CallerName)
	}
	for _, h := range c.SIPHeaders {
		p.Add("SipHeader_"+h.Name, h.Value)
	}
	return p
}
