package sim

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the algorithm is Twilio's
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// TwilioRequest is a request to a webhook and its answer.
type TwilioRequest struct {
	Method      string
	URL         string // as it was asked, the query of a GET included
	Status      int
	ContentType string
	Body        string // at most 64 kB
	Took        time.Duration
}

// fetch asks for the next document.
func (r *twilioRun) fetch(ctx context.Context, s webhookStep) ([]twimlVerb, error) {
	fault := r.call.Fault
	if r.asked > 1 {
		fault = TwilioFault{}
	}
	if fault.Kind == TwilioFaultTwice {
		if _, err := r.ask(ctx, s, fault); err != nil {
			return nil, err
		}
	}
	got, err := r.ask(ctx, s, fault)
	if err != nil {
		return nil, err
	}
	if got.Status < 200 || got.Status > 299 {
		return nil, twilioError(twilioRetrieval, "%s answered %d: %s", s.at.Redacted(), got.Status, firstLine(got.Body))
	}
	verbs, failed := parseTwiML(got.ContentType, []byte(got.Body))
	if failed != nil {
		return nil, failed
	}
	return verbs, nil
}

// firstLine is what an answer says, fit for an error.
func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return printable(s[:min(len(s), 200)])
}

// ask makes one request. The answer goes into the result.
func (r *twilioRun) ask(ctx context.Context, s webhookStep, fault TwilioFault) (TwilioRequest, error) {
	patience := twilioPatience
	if fault.Kind == TwilioFaultImpatient {
		patience = fault.After
	}
	if r.gone {
		ctx = context.WithoutCancel(ctx) // the end of the call is told, whoever has ended it
	}
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("no answer within %v", patience))
	defer cancel()
	req, err := r.request(ctx, s, fault)
	if err != nil {
		return TwilioRequest{}, err
	}
	got := TwilioRequest{Method: s.method, URL: req.URL.String()}
	began := time.Now()
	res, err := r.twilio.http.Do(req)
	if err == nil {
		defer func() { _ = res.Body.Close() }()
		var body []byte
		body, err = io.ReadAll(io.LimitReader(res.Body, maxTwiML+1))
		got.Status, got.ContentType, got.Body = res.StatusCode, res.Header.Get("Content-Type"), string(body)
	}
	got.Took = time.Since(began)
	r.result.Requests = append(r.result.Requests, got)
	switch {
	case err != nil && ctx.Err() != nil:
		return got, twilioError(twilioRetrieval, "%s: %v", s.at.Redacted(), context.Cause(ctx))
	case err != nil:
		return got, twilioError(twilioRetrieval, "%v", err)
	}
	return got, nil
}

// request makes the request of a step, signed.
func (r *twilioRun) request(ctx context.Context, s webhookStep, fault TwilioFault) (*http.Request, error) {
	params := r.params(fault)
	maps.Copy(params, s.params)
	at, signed, form := *s.at, *s.signed, params
	var body io.Reader
	if s.method == http.MethodGet {
		query := params.Encode()
		if fault.Kind == TwilioFaultNoPlus {
			query = strings.ReplaceAll(query, "%2B", "+")
		}
		at.RawQuery, signed.RawQuery = withQuery(at.RawQuery, query), withQuery(signed.RawQuery, query)
		form = nil
	} else {
		body = strings.NewReader(params.Encode())
	}
	if fault.Kind == TwilioFaultSlow {
		body = &lateReader{ctx, fault.After, body}
	}
	req, err := http.NewRequestWithContext(ctx, s.method, at.String(), body)
	if err != nil {
		return nil, err
	}
	req.Host = signed.Host // a proxy passes it on
	req.Header.Set("User-Agent", "TwilioProxy/1.1")
	req.Header.Set("Accept", "*/*")
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	}
	token := r.twilio.opts.AuthToken
	if fault.Kind == TwilioFaultBadSignature {
		token += "?"
	}
	if token != "" && fault.Kind != TwilioFaultNoSignature {
		req.Header.Set("X-Twilio-Signature", twilioSignature(token, signed.String(), form))
	}
	return req, nil
}

func withQuery(own, more string) string {
	if own == "" {
		return more
	}
	return own + "&" + more
}

// params are what Twilio says of a call in each request
// (twilio.com/docs/voice/twiml, "Twilio's request to your application").
func (r *twilioRun) params(fault TwilioFault) url.Values {
	c := r.call
	p := url.Values{
		"CallSid": {c.CallSID}, "AccountSid": {r.result.AccountSID}, "ApiVersion": {twilioAPIVersion},
		"From": {c.From}, "Caller": {c.From}, "To": {c.Called}, "Called": {c.Called},
		"CallStatus": {r.callStatus()}, "Direction": {"inbound"},
	}
	if fault.Kind == TwilioFaultNoCalled {
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

// twilioSignature signs a request (twilio.com/docs/usage/security): the URL, and
// of a POST each parameter's name and value in the order of the names.
func twilioSignature(token, address string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	_, _ = io.WriteString(mac, address)
	var names []string
	for name := range form {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		values := slices.Clone(form[name])
		slices.Sort(values)
		for _, v := range slices.Compact(values) {
			_, _ = io.WriteString(mac, name+v)
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// lateReader is a body that comes after a while.
type lateReader struct {
	ctx   context.Context //nolint:containedctx // of the request that this is the body of
	after time.Duration
	body  io.Reader
}

// Read waits the first time.
func (l *lateReader) Read(b []byte) (int, error) {
	if l.after > 0 {
		timer := time.NewTimer(l.after)
		defer timer.Stop()
		l.after = 0
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			return 0, context.Cause(l.ctx)
		}
	}
	return l.body.Read(b)
}
