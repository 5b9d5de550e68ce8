package acme

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"flowbridge/internal/httpd"
)

const (
	requestTimeout = 30 * time.Second // of one request to the authority
	maxAnswer      = 1 << 20          // bytes of an answer
	maxRetries     = 3                // of a request that the authority could not answer
	maxTold        = 300              // bytes of an error in the log: most of it is the authority's text
)

// order gets a certificate.
func (k *Keeper) order(ctx context.Context) (*x509.Certificate, []byte, error) {
	key, err := k.accountKey()
	if err != nil {
		return nil, nil, fmt.Errorf("account: %w", err)
	}
	client, err := k.client(key)
	if err != nil {
		return nil, nil, err
	}
	_, err = client.Register(ctx, &acme.Account{}, acme.AcceptTOS)
	if err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return nil, nil, fmt.Errorf("account: %w", err)
	}
	o, err := client.AuthorizeOrder(ctx, acme.DomainIDs(k.Domains...))
	if err != nil {
		return nil, nil, fmt.Errorf("order: %w", err)
	}
	if len(o.AuthzURLs) > len(k.Domains) {
		return nil, nil, fmt.Errorf("order: the CA wants %d authorizations for %d domains", len(o.AuthzURLs), len(k.Domains))
	}
	if err = k.prove(ctx, client, o.AuthzURLs); err != nil {
		return nil, nil, err
	}
	at := o.URI
	if o, err = client.WaitOrder(ctx, at); err != nil {
		return nil, nil, fmt.Errorf("order: %w", err)
	}
	own, text, err := newKey()
	if err != nil {
		return nil, nil, err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: k.Domains[0]}, DNSNames: k.Domains,
	}, own)
	if err != nil {
		return nil, nil, err
	}
	chain, _, err := client.CreateOrderCert(ctx, o.FinalizeURL, request, true)
	if err != nil { // the client loses the order if the answer does not repeat its URL: RFC 8555 does not ask for that
		if o, lost := client.WaitOrder(ctx, at); lost == nil && o.CertURL != "" {
			chain, err = client.FetchCert(ctx, o.CertURL, true)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("certificate: %w", err)
	}
	text = chainOf(text, chain)
	leaf, err := k.usable(text)
	return leaf, text, err
}

// client returns a client of the authority, whose answers are bounded in time and size. It asks only the directory's
// scheme and host, whatever the answers name, and follows no redirect.
func (c *Config) client(key crypto.Signer) (*acme.Client, error) {
	directory, err := url.Parse(c.Directory)
	if err != nil {
		return nil, fmt.Errorf("directory: %w", err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if c.CA != "" {
		text, err := os.ReadFile(c.CA)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(text)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &acme.Client{
		Key: key, DirectoryURL: c.Directory, UserAgent: "flowbridge",
		HTTPClient: &http.Client{
			Timeout: requestTimeout, Transport: bounded{transport, directory},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		RetryBackoff: func(n int, _ *http.Request, res *http.Response) time.Duration {
			if n > maxRetries || res.StatusCode < 400 || res.StatusCode == http.StatusTooManyRequests {
				return 0 // a redirect stays one, and the next order waits for as long as is asked
			}
			return time.Second << n
		},
	}, nil
}

// Ask asks the authority for its directory, which is what an order does first. It orders nothing.
func Ask(ctx context.Context, c Config) error {
	client, err := c.client(nil)
	if err != nil {
		return err
	}
	client.RetryBackoff = func(int, *http.Request, *http.Response) time.Duration { return 0 }
	if _, err = client.Discover(ctx); err != nil {
		return told(err)
	}
	return nil
}

// bounded bounds where requests go, and the size of answers.
type bounded struct {
	http.RoundTripper

	directory *url.URL
}

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	if origin(r.URL) != origin(b.directory) {
		return nil, fmt.Errorf("the CA names a URL at %s, and only its directory's scheme and host are asked", origin(r.URL))
	}
	res, err := b.RoundTripper.RoundTrip(r)
	if err == nil {
		res.Body = http.MaxBytesReader(nil, res.Body, maxAnswer)
	}
	return res, err
}

// told returns an error for the log, whose text is bounded.
func told(err error) error {
	if text := err.Error(); len(text) > maxTold {
		return errors.New(strings.ToValidUTF8(text[:maxTold], "") + " …")
	}
	return err
}

// origin returns the scheme and the host of a URL, without the port that https has anyway.
func origin(u *url.URL) string {
	return u.Scheme + "://" + strings.ToLower(strings.TrimSuffix(u.Host, ":443"))
}

// prove answers the authority's challenges. It listens only until they are answered.
func (k *Keeper) prove(ctx context.Context, client *acme.Client, authorizations []string) error {
	c := &challenges{answers: map[string]string{}, certificates: map[string]*tls.Certificate{}}
	stop, err := c.serve(ctx, &k.Config)
	if err != nil {
		return fmt.Errorf("sip.tls.acme.listen: %w", err)
	}
	defer stop()
	for _, one := range authorizations {
		z, err := client.GetAuthorization(ctx, one)
		if err != nil {
			return fmt.Errorf("authorization: %w", err)
		}
		if z.Status == acme.StatusValid {
			continue
		}
		var chosen *acme.Challenge
		for _, one := range z.Challenges {
			if one.Type == k.Challenge {
				chosen = one
			}
		}
		if chosen == nil {
			return fmt.Errorf("the CA offers no challenge %s for %s", k.Challenge, z.Identifier.Value)
		}
		if err = c.expect(client, chosen, z.Identifier.Value); err == nil {
			_, err = client.Accept(ctx, chosen)
		}
		if err == nil {
			_, err = client.WaitAuthorization(ctx, z.URI)
		}
		if err != nil {
			return fmt.Errorf("%s of %s: %w", k.Challenge, z.Identifier.Value, err)
		}
	}
	return nil
}

// challenges are those under way.
type challenges struct {
	mu           sync.Mutex                  // guards the fields below
	answers      map[string]string           // of HTTP-01, by path
	certificates map[string]*tls.Certificate // of TLS-ALPN-01, by domain
}

// expect prepares the answer to a challenge.
func (c *challenges) expect(client *acme.Client, one *acme.Challenge, domain string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if one.Type == TLSALPN01 {
		certificate, err := client.TLSALPN01ChallengeCert(one.Token, domain)
		c.certificates[domain] = &certificate
		return err
	}
	answer, err := client.HTTP01ChallengeResponse(one.Token)
	c.answers[client.HTTP01ChallengePath(one.Token)] = answer
	return err
}

// serve answers challenges until stop is called.
func (c *challenges) serve(ctx context.Context, of *Config) (stop func(), err error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", of.Listen)
	if err != nil {
		return nil, err
	}
	l = httpd.Bound(l, 64, 16)
	if of.Challenge == TLSALPN01 {
		l = tls.NewListener(l, &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{acme.ALPNProto}, GetCertificate: c.certificate,
		})
	}
	s := &http.Server{
		Handler: c, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: time.Second,
		MaxHeaderBytes: 8 << 10, ErrorLog: httpd.ErrorLog(of.Log),
	}
	over := make(chan struct{})
	go func() { defer close(over); _ = s.Serve(l) }()
	return func() { _ = s.Close(); <-over }, nil
}

func (c *challenges) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.certificates[hello.ServerName]; found != nil {
		return found, nil
	}
	return nil, errors.New("no challenge for this name")
}

// ServeHTTP answers HTTP-01.
func (c *challenges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	answer, ok := c.answers[r.URL.Path]
	c.mu.Unlock()
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = io.WriteString(w, answer) // the authority may be gone
}
