// Package publicaddr finds the address at which the internet reaches this machine: on an interface or, behind a NAT, by
// asking the cloud's metadata service or a STUN server.
package publicaddr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/pion/stun/v3"

	"flowbridge/internal/local"
)

// Patience bounds how long Find takes.
const Patience = 3 * time.Second

// maxAnswer bounds an answer with an address, in bytes.
const maxAnswer = 64

// cloud says how to ask a metadata service for the machine's public address.
type cloud struct {
	name, path, header string // the header is "Name: value"
}

// metadata is the address of all clouds' services: a link-local address that only the machine itself can reach.
const metadata = "http://169.254.169.254"

// clouds lists the services, according to their documents (November 2026). AWS requires a token first (IMDSv2).
var clouds = []cloud{ //nolint:gochecknoglobals // a table
	{"AWS", "/latest/meta-data/public-ipv4", ""},
	{"Google Cloud", "/computeMetadata/v1/instance/network-interfaces/0/access-configs/0/external-ip", "Metadata-Flavor: Google"},
	{
		"Azure", "/metadata/instance/network/interface/0/ipv4/ipAddress/0/publicIpAddress?api-version=2021-02-01&format=text",
		"Metadata: true",
	},
	{"Hetzner", "/hetzner/v1/metadata/public-ipv4", ""},
	{"DigitalOcean", "/metadata/v1/interfaces/public/0/ipv4/address", ""},
}

// Find returns the machine's public IPv4 address, and its source. stunServer is the host or host:port to ask instead of
// a metadata service; it may be empty.
func Find(ctx context.Context, stunServer string) (addr netip.Addr, from string, err error) {
	ctx, cancel := context.WithTimeout(ctx, Patience)
	defer cancel()
	if stunServer != "" {
		addr, err = askSTUN(ctx, stunServer)
		return addr, "the STUN server " + stunServer, err
	}
	if a, err := local.Towards(ctx, "192.0.2.1:9"); err == nil && local.IsPublic(a) { // any internet address will do
		return a, "an interface", nil
	}
	return askClouds(ctx, metadata)
}

// askClouds asks the services of all clouds at once: the machine is in at most one of the clouds, and does not know
// which.
func askClouds(ctx context.Context, service string) (netip.Addr, string, error) {
	client := &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true}, // without a proxy, which would be another machine
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("it redirects") },
	}
	type answer struct {
		addr netip.Addr
		err  error
	}
	answers := make([]chan answer, len(clouds))
	for i, c := range clouds {
		answers[i] = make(chan answer, 1)
		go func() {
			a, err := c.ask(ctx, client, service)
			answers[i] <- answer{a, err}
		}()
	}
	var errs []error
	for i, c := range clouds {
		a := <-answers[i]
		if a.err == nil {
			return a.addr, c.name + "'s metadata", nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", c.name, a.err))
	}
	return netip.Addr{}, "", fmt.Errorf("no metadata service knows it: %w", errors.Join(errs...))
}

func (c cloud) ask(ctx context.Context, client *http.Client, service string) (netip.Addr, error) {
	header := c.header
	if c.name == "AWS" {
		token, err := get(ctx, client, http.MethodPut, service+"/latest/api/token",
			"X-Aws-Ec2-Metadata-Token-Ttl-Seconds: 60")
		if err != nil {
			return netip.Addr{}, err
		}
		header = "X-Aws-Ec2-Metadata-Token: " + token
	}
	text, err := get(ctx, client, http.MethodGet, service+c.path, header)
	if err != nil {
		return netip.Addr{}, err
	}
	return judged(text)
}

// get returns the body of an answer, which is a short line.
func get(ctx context.Context, client *http.Client, method, url, header string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, nil)
	if err != nil {
		return "", err
	}
	if name, value, ok := strings.Cut(header, ": "); ok {
		req.Header.Set(name, value)
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("the answer is %d", res.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	text := strings.TrimSpace(string(body))
	switch {
	case err != nil:
		return "", err
	case len(body) > maxAnswer:
		return "", fmt.Errorf("the answer has more than %d bytes", maxAnswer)
	case strings.ContainsAny(text, "\r\n"):
		return "", fmt.Errorf("the answer %q has several lines", text)
	}
	return text, nil
}

// judged parses the address in an answer, and checks that calls can be sent to it.
func judged(text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil || !a.Is4() || !local.IsPublic(a) {
		return netip.Addr{}, fmt.Errorf("%q is no public IPv4 address", text)
	}
	return a, nil
}

// askSTUN asks a STUN server (RFC 8489 section 2).
func askSTUN(ctx context.Context, server string) (netip.Addr, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, fmt.Sprint(stun.DefaultPort))
	}
	conn, err := new(net.Dialer).DialContext(ctx, "udp4", server)
	if err != nil {
		return netip.Addr{}, err
	}
	client, err := stun.NewClient(conn)
	if err != nil {
		return netip.Addr{}, errors.Join(err, conn.Close())
	}
	defer client.Close()
	type answer struct {
		text string
		err  error
	}
	answers := make(chan answer, 1)
	err = client.Start(stun.MustBuild(stun.TransactionID, stun.BindingRequest, stun.Fingerprint), func(e stun.Event) {
		var at stun.XORMappedAddress
		err := e.Error
		if err == nil {
			err = at.GetFrom(e.Message)
		}
		answers <- answer{at.IP.String(), err}
	})
	got := answer{err: err}
	if err == nil {
		select {
		case got = <-answers:
		case <-ctx.Done():
			got.err = ctx.Err()
		}
	}
	if got.err != nil {
		return netip.Addr{}, fmt.Errorf("the STUN server %s does not tell it: %w", server, got.err)
	}
	return judged(got.text)
}
