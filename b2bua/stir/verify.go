package stir

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// Fresh is how far an iat may be from the arrival of the INVITE, either way (RFC 8224 section 6.2.2).
	Fresh = time.Minute
	// Timeout is how long a call waits for a certificate.
	Timeout = time.Second
)

// Policy holds the rules for verifying one trunk's calls.
type Policy struct {
	Trunk   string         // divides requests and cache entries between trunks
	Roots   *x509.CertPool // the trusted roots
	Hosts   []string       // permitted hosts of certificates: a name or address, *.name, perhaps with a port
	Fresh   time.Duration  // how far an iat may be from the arrival of the INVITE, either way
	Timeout time.Duration  // how long a call waits for a certificate
}

// Request holds the data of an INVITE.
type Request struct {
	Identity []string // the values of its Identity headers
	Date     string
	From, To string // the numbers, in international form
	Called   string // the number in the Request-URI, by which the call is routed
	Diverted bool   // the call says that it was diverted, so Called need not be a signed number
	CallID   string
	FromTag  string
	Came     time.Time // when the INVITE came, perhaps to another process before
}

// The values of verstat (3GPP TS 24.229 section 7.2A.20).
const (
	Passed = "TN-Validation-Passed"
	Failed = "TN-Validation-Failed"
	None   = "No-TN-Validation"
)

// The statuses of RFC 8224 section 6.2.2.
const (
	StatusStale      = 403 // Stale Date
	StatusMissing    = 428 // Use Identity Header
	StatusUnfetched  = 436 // Bad Identity Info
	StatusCredential = 437 // Unsupported Credential
	StatusInvalid    = 438 // Invalid Identity Header
)

// Result is the result of a verification.
type Result struct {
	Verstat string // Passed, Failed or None
	Attest  string // A, B or C, for a call that has passed; empty if none was claimed
	OrigID  string // the origid, for a call that has passed
	Status  int    // one of RFC 8224 section 6.2.2; 0 if the call has passed
	Err     error  // why it has not passed
}

// Verifier verifies the calls of a process. Its methods may be called from any goroutine.
type Verifier struct {
	cache   *cache
	replays replays
	counts  [len(outcomes)]atomic.Uint64
}

// outcomes lists the results that are counted.
var outcomes = [...]struct {
	status int
	name   string
}{
	{0, "passed"},
	{StatusMissing, "missing"},
	{StatusStale, "stale"},
	{StatusUnfetched, "unfetched"},
	{StatusCredential, "credential"},
	{StatusInvalid, "invalid"},
}

// New returns a verifier, whose requests end with ctx. transport makes the requests; nil means the
// network.
func New(ctx context.Context, transport http.RoundTripper) *Verifier {
	return &Verifier{cache: newCache(ctx, transport)}
}

// Counts calls f with each result and the number of calls with it.
func (v *Verifier) Counts(f func(result string, n uint64)) {
	for i, o := range outcomes {
		f(o.name, v.counts[i].Load())
	}
}

// Fetches returns the counts of requests for certificates.
func (v *Verifier) Fetches() Fetches {
	v.cache.mu.Lock()
	defer v.cache.mu.Unlock()
	return v.cache.stats
}

// Verify verifies a call by the first of its Identity headers that is right. It may wait
// for certificates, for the policy's timeout.
func (v *Verifier) Verify(p *Policy, r *Request) Result {
	deadline := time.Now().Add(p.Timeout)
	out := check(p, r, func(pass *passport) Result { return v.prove(p, r, pass, deadline) })
	for i, o := range outcomes {
		if o.status == out.Status {
			v.counts[i].Add(1)
		}
	}
	return out
}

// Foresee does the checks of Verify that need no certificate. It fetches nothing. url is
// the URL of the certificate, or "" if the result is final.
func Foresee(p *Policy, r *Request) (out Result, url string) {
	out = check(p, r, func(pass *passport) Result {
		if _, _, err := allowed(pass.url, p.Hosts); err != nil {
			return failed(StatusUnfetched, err)
		}
		url = pass.url
		return passed(&pass.claims)
	})
	return out, url
}

// check goes through the usable Identity headers (RFC 8224 section 6.2): those without an
// extension, or with SHAKEN's. prove checks the ones that fit the call.
func check(p *Policy, r *Request, prove func(*passport) Result) Result {
	last := failed(StatusMissing, errMissing)
	if len(r.Identity) > maxHeaders {
		return failed(StatusInvalid, errTooMany)
	}
	for _, value := range r.Identity {
		out := one(p, r, value, prove)
		if out.Status == 0 {
			return out
		}
		if out.Status != StatusMissing || errors.Is(last.Err, errMissing) { // another extension says nothing about the caller
			last = out
		}
	}
	return last
}

var (
	errNothing  = errors.New("the verification has failed by itself")
	errMissing  = errors.New("no Identity header")
	errOther    = errors.New("no Identity header of an extension that is known here")
	errTooMany  = errors.New("too many Identity headers")
	errStale    = errors.New("a PASSporT that is not fresh")
	errWrong    = errors.New("a signature that is not of the certificate's key")
	errReplayed = errors.New("a signature that another call had")
)

// one checks one Identity header.
func one(p *Policy, r *Request, value string, prove func(*passport) Result) Result {
	h, err := parseHeader(value)
	if err != nil {
		return failed(StatusInvalid, err)
	}
	if h.ppt != "" && h.ppt != shaken {
		return failed(StatusMissing, errOther)
	}
	pass, err := passportOf(&h, r)
	switch {
	case errors.Is(err, errNoDate):
		return failed(StatusStale, err)
	case err != nil:
		return failed(StatusInvalid, err)
	case h.ppt != "" && h.ppt != shaken: // the header has no ppt, but the PASSporT has one
		return failed(StatusMissing, errOther)
	}
	if age := r.Came.Sub(pass.claims.issued); age > p.Fresh || age < -p.Fresh {
		return failed(StatusStale, fmt.Errorf("%w: it is %v old", errStale, age.Round(time.Second)))
	}
	if err := pass.claims.names(r); err != nil {
		return failed(StatusInvalid, err)
	}
	return prove(&pass)
}

// prove checks the certificate and the signature, and that no other call has used the signature.
func (v *Verifier) prove(p *Policy, r *Request, pass *passport, deadline time.Time) Result {
	e, err := v.cache.get(pass.url, p, deadline)
	var bad *unusable
	switch {
	case errors.As(err, &bad):
		return failed(StatusCredential, err)
	case err != nil:
		return failed(StatusUnfetched, err)
	}
	if err := v.cache.leadsTo(e, p.Roots, time.Now()); err != nil {
		return failed(StatusCredential, err)
	}
	switch {
	case !e.chain.authority.has(canonical(pass.claims.Orig.TN)):
		return failed(StatusCredential, errNotTheirs)
	case !pass.verify(e.chain.key):
		return failed(StatusInvalid, errWrong)
	}
	v.cache.proved(e)
	if !v.replays.first(pass.signature, r) {
		return failed(StatusInvalid, errReplayed)
	}
	return passed(&pass.claims)
}

// leadsTo returns an error if a certificate leads to none of the roots. It remembers a success until a
// certificate of the chain expires.
func (c *cache) leadsTo(e *entry, roots *x509.CertPool, now time.Time) error {
	c.mu.Lock()
	until, known := e.roots[roots]
	c.mu.Unlock()
	if known && now.Before(until) {
		return nil
	}
	until, err := e.chain.trusted(roots, now)
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.roots == nil || len(e.roots) >= maxRoots {
		e.roots = map[*x509.CertPool]time.Time{}
	}
	e.roots[roots] = until
	return nil
}

func passed(c *claims) Result { return Result{Verstat: Passed, Attest: c.Attest, OrigID: c.OrigID} }

// failed returns the result of a call that has not passed. If there was nothing to check,
// verstat says that there was no validation.
func failed(status int, err error) Result {
	verstat := Failed
	if status == StatusMissing || status == StatusUnfetched {
		verstat = None
	}
	return Result{Verstat: verstat, Status: status, Err: err}
}

// Unverified returns the result of a verification that could not be done.
func Unverified() Result { return failed(StatusUnfetched, errNothing) }

// ReasonPhrase returns the phrase of a status (RFC 8224 section 6.2.2).
func ReasonPhrase(status int) string {
	switch status {
	case StatusStale:
		return "Stale Date"
	case StatusMissing:
		return "Use Identity Header"
	case StatusUnfetched:
		return "Bad Identity Info"
	case StatusCredential:
		return "Unsupported Credential"
	default:
		return "Invalid Identity Header"
	}
}

// String returns the result in words.
func (r Result) String() string {
	var b strings.Builder
	b.WriteString(r.Verstat)
	if r.Attest != "" {
		b.WriteString(", attestation " + r.Attest)
	}
	if r.Err != nil {
		fmt.Fprintf(&b, " (%d %s: %v)", r.Status, ReasonPhrase(r.Status), r.Err)
	}
	return b.String()
}
