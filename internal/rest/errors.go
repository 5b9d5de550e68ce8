package rest

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"
)

// Error is the type of every error of Do. Other packages use it for an answer that can't be right.
type Error struct {
	Method string
	Path   string
	Status int    // status of the answer; 0 if there was none
	Words  string // the API's own words, unchanged; may be empty

	Problem string // what is wrong with the answer, or why there is none
	Remedy  string // what to do
	err     error
}

// Error returns the request, its result, the API's words and, on a separate line, what to do.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", e.Method, e.Path)
	if e.Status != 0 {
		fmt.Fprintf(&b, ": %s", strings.TrimSpace(fmt.Sprintf("%d %s", e.Status, http.StatusText(e.Status))))
	}
	for _, part := range []string{e.Problem, e.Words} {
		if part != "" {
			b.WriteString(": " + part)
		}
	}
	if e.Remedy != "" {
		b.WriteString("\n" + e.Remedy)
	}
	return b.String()
}

// Unwrap returns the transport's error, if there is one.
func (e *Error) Unwrap() error { return e.err }

// ErrTooLarge marks an answer over Options.MaxBody.
var ErrTooLarge = errors.New("answer too large")

// StatusOf returns the HTTP status of an Error, or 0.
func StatusOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}

// remedyUnusable is the remedy for an answer that an API of this kind would not give.
const remedyUnusable = "is this the platform's API? check its URL and region; a proxy or a sign-in page may answer in its place"

// Unusable returns the error for an answer with a success status and unusable content.
func (c *Client) Unusable(r Request, a Answer, problem string) *Error {
	e := c.unusable(r, a.Status, problem)
	e.Words = c.words(a.Body)
	e.Remedy = "don't rely on it: look at what the account has before you repeat it"
	return e
}

func (c *Client) unusable(r Request, status int, problem string) *Error {
	return &Error{Method: r.Method, Path: r.Path, Status: status, Problem: c.hide.in(problem), Remedy: remedyUnusable}
}

// notJSON describes an answer that is not JSON. It quotes the start of the answer.
func (c *Client) notJSON(h http.Header, body []byte) string {
	kind := "something that is not JSON"
	switch {
	case h.Get("Content-Encoding") != "":
		kind = "an encoding that was not asked for (" + excerpt(h.Get("Content-Encoding")) + ")"
	case strings.Contains(strings.ToLower(h.Get("Content-Type")), "html"), looksLikeHTML(body):
		kind = "a web page (HTML)"
	}
	return fmt.Sprintf("the answer is %s: %q", kind, excerpt(c.hide.in(string(body))))
}

func looksLikeHTML(body []byte) bool {
	start := strings.ToLower(strings.TrimSpace(string(body[:min(len(body), 64)])))
	return strings.HasPrefix(start, "<!doctype html") || strings.HasPrefix(start, "<html")
}

// refused returns the error for an answer that is not 2xx.
func (c *Client) refused(r Request, res *http.Response, body []byte) *Error {
	e := &Error{
		Method: r.Method, Path: r.Path, Status: res.StatusCode, Words: c.words(body),
		Remedy: remedy(res.StatusCode),
	}
	if e.Words == "" && len(strings.TrimSpace(string(body))) > 0 {
		e.Problem = c.notJSON(res.Header, body)
	}
	switch {
	case res.StatusCode/100 == 3:
		e.Problem, e.Words = "redirected to "+c.hide.in(destination(res.Header.Get("Location")))+", which is not followed", ""
		e.Remedy = "the token goes to the URL that you named and nowhere else: if the new address is the right one, name it"
	case res.StatusCode == http.StatusTooManyRequests:
		if wait, ok := RetryAfter(res.Header.Get("Retry-After")); ok {
			e.Remedy = fmt.Sprintf("the API takes no more requests at present: wait %v, and try again", wait.Round(time.Second))
		}
	}
	if res.StatusCode >= 500 && r.Method != http.MethodGet {
		e.Remedy += "; look first whether it was done in spite of that"
	}
	return e
}

// destination returns where a redirect leads, without parts that may be secret.
func destination(location string) string {
	u, err := url.Parse(location)
	if err != nil || location == "" {
		return "an address that can't be read"
	}
	u.User, u.RawQuery, u.Fragment = nil, "", ""
	return excerpt(u.String())
}

// remedy says what to do about a status.
func remedy(status int) string {
	switch {
	case status == http.StatusBadRequest, status == http.StatusUnprocessableEntity:
		return "correct what it names"
	case status == http.StatusUnauthorized:
		return "check the token: is it whole, valid, and of the region that this API is of?"
	case status == http.StatusPaymentRequired, status == http.StatusForbidden:
		return "the account may not do this: check its plan and rights, the workspace, and that the token is of this account"
	case status == http.StatusNotFound:
		return "there is no such thing here: check the id by a list, and the workspace and region"
	case status == http.StatusConflict:
		return "it is there already, or in use: show it, and update it instead"
	case status == http.StatusTooManyRequests:
		return "the API takes no more requests at present: wait, and try again"
	case status >= 500:
		return "the platform has a problem of its own: try again later"
	default:
		return "check the request, and the API's URL"
	}
}

// broken returns the error for a request without a complete answer.
func (c *Client) broken(ctx, step context.Context, r Request, err error) *Error {
	e := &Error{Method: r.Method, Path: r.Path, err: hidden{c.hide, err}}
	e.Problem, e.Remedy = c.explain(ctx, step, err)
	if r.Method != http.MethodGet && !neverSent(err) {
		e.Remedy += "; it may have been done: look before you repeat it"
	}
	return e
}

// neverSent reports whether a request failed before it was sent.
func neverSent(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.As(err, &op) && op.Op == "dial" || tlsProblem(err) != ""
}

// explain says why there is no answer, and what to do.
func (c *Client) explain(ctx, step context.Context, err error) (problem, remedy string) {
	host := c.base
	if u, err := url.Parse(c.base); err == nil {
		host = u.Host
	}
	switch {
	case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "given up", "repeat it when you want it done"
	case step.Err() != nil:
		return fmt.Sprintf("no answer within %v", c.timeout), "try again; check that " + host + " can be reached from here"
	}
	problem, remedy = explain(err, host)
	return c.hide.in(problem), remedy
}

// Reason says why a request to a host got no answer. It omits the request's URL.
func Reason(err error, host string) string {
	problem, _ := explain(err, host)
	return problem
}

func explain(err error, host string) (problem, remedy string) {
	var dns *net.DNSError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s has no address: %s", excerpt(dns.Name), dnsReason(dns)),
			"check the API's URL, and this machine's DNS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return host + " refuses connections", "check host and port of the API's URL; is it running?"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		return "there is no way to " + host, "check this machine's network and routes"
	case tlsProblem(err) != "":
		return tlsProblem(err),
			"check the API's URL, this machine's clock and its authorities' certificates; never send the token past this"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no connection to " + host + " in time", "check firewall and proxy (HTTPS_PROXY)"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET),
		errors.Is(err, syscall.EPIPE):
		return "the connection broke before the answer was complete", "try again"
	}
	return bare(err).Error(), "check the API's URL, and try again"
}

func dnsReason(e *net.DNSError) string {
	if e.IsNotFound {
		return "there is no such name"
	}
	return "the name server does not answer"
}

// tlsProblem says what is wrong with the encryption, or returns "".
func tlsProblem(err error) string {
	var record tls.RecordHeaderError
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	switch {
	case errors.As(err, &record), strings.Contains(err.Error(), "server gave HTTP response to HTTPS client"):
		return "the other side does not speak TLS there"
	case errors.As(err, &authority):
		return "nobody that this machine trusts vouches for the other side's certificate"
	case errors.As(err, &name):
		return "the other side's certificate is of another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the other side's certificate is expired, or not valid yet"
	case errors.As(err, &invalid), errors.As(err, &verify), errors.As(err, &alert):
		return "the other side's certificate, or its TLS, can't be accepted"
	}
	return ""
}

// bare removes net/http's wrapping from an error, because the method and URL are already named.
func bare(err error) error {
	if u := (*url.Error)(nil); errors.As(err, &u) {
		return u.Err
	}
	return err
}

// hidden is an error whose text is shown without secrets.
type hidden struct {
	redactor
	err error
}

// Error returns the text without secrets.
func (h hidden) Error() string { return h.in(h.err.Error()) }

// Timeout reports whether time ran out. *url.Error calls it.
func (h hidden) Timeout() bool {
	var timeout interface{ Timeout() bool }
	return errors.As(h.err, &timeout) && timeout.Timeout()
}

// Unwrap returns the error, so that errors.Is and errors.As work.
func (h hidden) Unwrap() error { return h.err }
