package gateway

import (
	"context"
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // what Twilio signs with
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"

	"github.com/coder/websocket"

	"flowbridge/internal/local"
)

// maxMessage bounds a message of a bot, in bytes. In base64 that is 98 seconds of audio.
const maxMessage = 1 << 20

// maxHeaders bounds the headers of the answer to an upgrade, in bytes.
const maxHeaders = 64 << 10

// Access says how the bots of one target are reached. It never changes. What is secret is here, and not in orders, so
// that it is in no Contact.
type Access struct {
	token, signs string
	account      string
	agent        string
	origin       string // as originOf returns it; empty means any
	client       *http.Client
}

// AccessOptions are the options of an Access. All may be empty.
type AccessOptions struct {
	Token      string // sent as Authorization: Bearer
	AccountSID string // of Twilio: AC and 32 hexadecimal digits
	AuthToken  string // of Twilio: signs the upgrade
	UserAgent  string
	TLS        *tls.Config
	// Origin is scheme, host and port of the bots: no request goes elsewhere, whatever URL an earlier process has sealed
	// into a Contact.
	Origin string
}

// noAccount stands for the account of bots that have none at Twilio.
const noAccount = "AC00000000000000000000000000000000"

// NewAccess returns an Access.
func NewAccess(o AccessOptions) *Access {
	a := &Access{token: o.Token, signs: o.AuthToken, account: o.AccountSID, agent: o.UserAgent, origin: originOf(o.Origin)}
	if a.account == "" {
		a.account = noAccount
	}
	a.client = &http.Client{
		// A redirect could lead to a host that the file does not name.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: dialPublic, TLSClientConfig: o.TLS,
			MaxResponseHeaderBytes: maxHeaders, DisableKeepAlives: true,
		},
	}
	return a
}

var errOrigin = errors.New("the target's url has led elsewhere when the call began")

// originOf returns scheme, host and port of a URL in one notation, or "" if it has none.
func originOf(at string) string {
	u, err := url.Parse(at)
	if err != nil || u.Host == "" {
		return ""
	}
	scheme, port := strings.ToLower(u.Scheme), u.Port()
	if port == "" {
		port = map[string]string{"ws": "80", "wss": "443"}[scheme]
	}
	return scheme + "://" + net.JoinHostPort(strings.ToLower(u.Hostname()), port)
}

// handshake is the exchange of HTTP that opens one socket. The WebSocket library waits 3 s for what follows a refusal,
// or an acceptance that it does not take, while the caller waits for the next target. So nothing follows until it is
// open.
type handshake struct {
	http.RoundTripper
	open bool // set before the library hands the socket out
}

// RoundTrip sends a request.
func (h *handshake) RoundTrip(req *http.Request) (*http.Response, error) {
	res, err := h.RoundTripper.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if conn, ok := res.Body.(io.ReadWriteCloser); ok && res.StatusCode == http.StatusSwitchingProtocols {
		res.Body = &stream{conn, h}
	} else {
		_ = res.Body.Close()
		res.Body = http.NoBody
	}
	return res, nil
}

// stream is what follows a handshake.
type stream struct {
	io.ReadWriteCloser
	after *handshake
}

// Read reads what the bot sends once the socket is open.
func (s *stream) Read(b []byte) (int, error) {
	if !s.after.open {
		return 0, io.EOF
	}
	return s.ReadWriteCloser.Read(b)
}

var errPrivate = errors.New("the name leads to an address of this machine or a private network, " +
	"which the url must name itself")

// dialPublic connects to an address. A host name may lead only to a public address: otherwise an attacker who controls
// its DNS could reach what is behind the firewall. Of several addresses the dialer tries the public ones.
func dialPublic(ctx context.Context, network, address string) (net.Conn, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	var d net.Dialer
	if _, err := netip.ParseAddr(host); err != nil && !isProxy(host) {
		d.ControlContext = onlyPublic
	}
	return d.DialContext(ctx, network, address)
}

// onlyPublic refuses to connect a socket to an address that is not public.
func onlyPublic(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if !local.IsPublic(at.Addr()) {
		return errPrivate
	}
	return nil
}

// isProxy reports whether a host is a proxy from the environment, which may be in a private network.
func isProxy(host string) bool {
	for _, scheme := range []string{"http", "https"} {
		p, err := http.ProxyFromEnvironment(&http.Request{URL: &url.URL{Scheme: scheme, Host: "bot.invalid"}})
		if err == nil && p != nil && strings.EqualFold(p.Hostname(), host) {
			return true
		}
	}
	return false
}

// Header returns the headers that an upgrade has beyond the standard ones of a WebSocket.
func (a *Access) Header(at string) http.Header {
	h := http.Header{"User-Agent": {a.agent}}
	if a.token != "" {
		h.Set("Authorization", "Bearer "+a.token)
	}
	if a.signs != "" {
		h.Set("X-Twilio-Signature", signature(at, a.signs))
	}
	return h
}

// signature returns the value of X-Twilio-Signature for a URL without parameters in a body.
func signature(at, token string) string {
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(at))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// RefusedError is the reason why a bot's socket could not be opened.
type RefusedError struct {
	Status int // HTTP status of the answer; 0 if there was none
	Err    error
}

func (e *RefusedError) Error() string {
	if e.Status != 0 {
		return fmt.Sprintf("the bot answered %d %s", e.Status, http.StatusText(e.Status))
	}
	return e.Err.Error()
}

func (e *RefusedError) Unwrap() error { return e.Err }

// Dial opens a socket to a bot. Its error is a *RefusedError.
func (a *Access) Dial(ctx context.Context, at string) (*websocket.Conn, error) {
	if a.origin != "" && originOf(at) != a.origin {
		return nil, &RefusedError{Err: errOrigin}
	}
	h := &handshake{RoundTripper: a.client.Transport}
	client := *a.client
	client.Transport = h
	ws, res, err := websocket.Dial(ctx, at, &websocket.DialOptions{ //nolint:bodyclose // Dial closes it
		HTTPClient: &client, HTTPHeader: a.Header(at), CompressionMode: websocket.CompressionDisabled,
	})
	switch {
	case err == nil:
		h.open = true
		ws.SetReadLimit(maxMessage)
		return ws, nil
	case res != nil && res.StatusCode != http.StatusSwitchingProtocols:
		return nil, &RefusedError{res.StatusCode, err}
	case ctx.Err() != nil:
		return nil, &RefusedError{Err: ctx.Err()}
	}
	if bad, ok := errors.AsType[*url.Error](err); ok {
		err = bad.Err // without the URL, which may have secrets in its query
	}
	return nil, &RefusedError{Err: err}
}

// sipAnswer returns the SIP status and reason that stand for the error of Dial. All of them make the B2BUA try the next
// target: a bot's 404 must not tell the caller that the number does not exist.
func sipAnswer(err error) (code int, reason string) {
	refused, _ := errors.AsType[*RefusedError](err)
	switch {
	case refused != nil && slices.Contains([]int{429, 503}, refused.Status):
		return 503, fmt.Sprintf("Bot Answered %d %s", refused.Status, http.StatusText(refused.Status))
	case refused != nil && refused.Status != 0:
		return 502, strings.TrimSpace(fmt.Sprintf("Bot Answered %d %s", refused.Status, http.StatusText(refused.Status)))
	case errors.Is(err, context.DeadlineExceeded):
		return 504, "Bot Did Not Answer In Time"
	case isTLS(err):
		return 503, "Bot Has No Valid Certificate"
	case errors.Is(err, errPrivate):
		return 503, "Bot Has A Private Address"
	}
	return 503, "Bot Can't Be Reached"
}

func isTLS(err error) bool {
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var verify *tls.CertificateVerificationError
	return errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &unknown) || errors.As(err, &host) ||
		errors.As(err, &invalid) || errors.As(err, &verify)
}
