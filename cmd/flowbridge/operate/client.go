package operate

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
)

// timeout bounds a request. A hangup waits for the call's end.
const timeout = 15 * time.Second

// upgradeTimeout bounds an upgrade: the server waits 30 s for the new process to load, and 10 s for it to continue.
const (
	upgradePath    = "/api/upgrade"
	upgradeTimeout = time.Minute
)

// maxAnswer bounds how much of an answer is read, in bytes.
const maxAnswer = 64 << 20

// access holds the flags that name the admin API.
type access struct {
	file, url, tokenFile string
	flag                 string // has the url; empty: --url
	body                 []byte // for a POST; may be empty
	flags                interface{ Changed(name string) bool }
}

// accessFlags adds the flags.
func accessFlags(c *cobra.Command) *access {
	a := &access{flags: c.Flags()}
	f := c.Flags()
	cli.ConfigFlagTo(c, &a.file, "configuration file, whose section admin says where to ask")
	f.StringVar(&a.url, "url", "", "where to ask instead: http://127.0.0.1:8080, or unix:///run/flowbridge/admin.sock")
	f.StringVar(&a.tokenFile, "token-file", "",
		"file with the bearer token (default: one of the configuration that this user may read)")
	return a
}

// client sends requests to an admin API.
type client struct {
	http  *http.Client
	base  string
	token string
	spare string // token to send if a request without one is refused
	shown string // the address, for errors
	body  []byte // for a POST
	// unnamed is added to errors if the address is a guess because there is no configuration.
	unnamed string
}

// open finds the API. rights are the rights of a token that the command needs.
func (a *access) open(rights string) (*client, error) {
	var token, spare config.Secret
	at, unnamed, flag := a.url, "", cmp.Or(a.flag, "--url")
	if at == "" {
		cfg, err := config.LoadSections(a.file, "admin")
		switch {
		case err == nil:
			token = tokenFor(&cfg.Admin, rights)
			if needsNoToken(&cfg.Admin, rights) {
				token, spare = "", token
			}
			if at = urlOf(cfg.Admin.Listen); at == "" {
				return nil, cli.Usage("admin.listen leaves the port to the system: name the address with %s", flag)
			}
		case a.flags.Changed("config") || exists(a.file):
			return nil, err
		default: // without a configuration: the API's default address
			at = "http://127.0.0.1:8080"
			unnamed = "; there is no " + a.file + " here: name the server's file with --config"
		}
	}
	if a.tokenFile != "" {
		var err error
		if token, err = config.ReadSecret(a.tokenFile); err != nil {
			return nil, cli.Usage("--token-file: %w", err)
		}
		spare = ""
	}
	c, err := newClient(flag, at)
	if err != nil {
		return nil, err
	}
	c.token, c.spare, c.unnamed = token.Reveal(), spare.Reveal(), unnamed
	return c, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return file == config.Stdin || err == nil
}

// urlOf returns the URL of the address that the API listens at, or "" if the file does not know its port.
func urlOf(at config.AdminAddress) string {
	switch addr := at.Addr(); {
	case at.Socket != "":
		return at.String()
	case at.Port() == 0:
		return ""
	case !addr.IsUnspecified():
		return "http://" + at.String()
	case addr.Is6():
		return "http://" + netip.AddrPortFrom(netip.IPv6Loopback(), at.Port()).String()
	default:
		return "http://" + netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), at.Port()).String()
	}
}

// tokenFor returns a token of the file that has the rights, or "" if this user can't read one.
func tokenFor(a *config.Admin, rights string) config.Secret {
	for _, t := range a.Tokens {
		if t.Token != "" && (t.Rights == rights || t.Rights == config.RightsOperate) {
			return t.Token
		}
	}
	return a.Token
}

// list is the API's answer for lists.
type list[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next"`
}

// asks makes a command send one request, and print its answer with show or as JSON.
func asks[T any](c *cobra.Command, method, path string, show func(w io.Writer, got *T) error) *cobra.Command {
	at := accessFlags(c)
	asJSON := c.Flags().Bool("json", false, "print JSON as the admin API does")
	c.RunE = func(c *cobra.Command, _ []string) error {
		got := new(T)
		return at.answer(c, method, path, got, *asJSON, func(w io.Writer) error { return show(w, got) })
	}
	return c
}

// answer sends the command's request, decodes the answer into into, and prints it as JSON or with show.
func (a *access) answer(c *cobra.Command, method, path string, into any, asJSON bool,
	show func(w io.Writer) error,
) error {
	rights := config.RightsRead
	if method != http.MethodGet {
		rights = config.RightsOperate
	}
	api, err := a.open(rights)
	if err != nil {
		return err
	}
	api.body = a.body
	if err := api.do(c.Context(), method, path, into); err != nil {
		return err
	}
	if asJSON {
		return cli.PrintJSON(c.OutOrStdout(), into)
	}
	return show(c.OutOrStdout())
}

// needsNoToken reports whether the server recognizes a local request as the user's own. With a token, the log would
// have another name.
func needsNoToken(a *config.Admin, rights string) bool {
	reached := a.Listen.IsLocal() || a.Listen.Addr().IsUnspecified() // over loopback, see urlOf
	return reached && (a.Local == rights || a.Local == config.RightsOperate)
}

// newClient returns a client of the API at a URL, which a flag has named.
func newClient(flag, at string) (*client, error) {
	c := &client{base: strings.TrimSuffix(at, "/"), shown: at}
	transport := &http.Transport{DisableKeepAlives: true}
	if path, isUnix := strings.CutPrefix(at, "unix://"); isUnix {
		c.base = "http://flowbridge"
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", path)
		}
	} else if u, err := url.Parse(at); err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
		return nil, cli.Usage("%s %q: write http://127.0.0.1:8080, or unix:///run/flowbridge/admin.sock", flag, at)
	}
	c.http = &http.Client{
		Timeout: timeout, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // a token must not go to another host
		},
	}
	return c, nil
}

// refusedError is the API's answer to a refused request.
type refusedError struct {
	Problem  string   `json:"error"`
	Remedy   string   `json:"remedy"`
	Problems []string `json:"problems"` // the problems of a configuration
}

func (e *refusedError) Error() string {
	if len(e.Problems) > 0 {
		return e.Problem + "\n" + strings.Join(e.Problems, "\n")
	}
	return e.Problem + "; " + e.Remedy
}

// Unwrap makes an invalid configuration a usage error, like in the other commands.
func (e *refusedError) Unwrap() error {
	if len(e.Problems) > 0 {
		return config.Errors{}
	}
	return nil
}

// do sends a request and reads the answer into into.
func (c *client) do(ctx context.Context, method, path string, into any) error {
	status, body, err := c.ask(ctx, method, path)
	if err != nil {
		return err
	}
	if status < 200 || status > 299 {
		refused := &refusedError{}
		if json.Unmarshal(body, refused) != nil || refused.Problem == "" {
			return fmt.Errorf("%s answers %d %s; is it Flowbridge's admin API?", c.shown, status, http.StatusText(status))
		}
		if status == http.StatusUnauthorized {
			refused.Remedy = "name a file with a token by --token-file"
		}
		switch ofCall := status == http.StatusNotFound && strings.HasPrefix(path, callsPath); {
		case ofCall && strings.HasPrefix(refused.Problem, "there is no call "):
			refused.Remedy = "take an id from flowbridge calls list, or that of a finished call from flowbridge cdr list"
		case ofCall && strings.HasPrefix(refused.Problem, "no call "):
			refused.Remedy = "take an id from flowbridge calls list"
		}
		return refused
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("the answer of %s can't be read: %w", c.shown, err)
	}
	return nil
}

// ask sends a request and returns the status and body of the answer. If a request without a token is refused, ask
// repeats it with the spare token, which is then used for later requests, too.
func (c *client) ask(ctx context.Context, method, path string) (status int, body []byte, err error) {
	status, body, err = c.send(ctx, method, path)
	if c.spare != "" && (status == http.StatusUnauthorized || status == http.StatusForbidden) {
		c.token, c.spare = c.spare, ""
		return c.send(ctx, method, path)
	}
	return status, body, err
}

func (c *client) send(ctx context.Context, method, path string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, bytes.NewReader(c.body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("User-Agent", cli.UserAgent())
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	switch path {
	case upgradePath:
		c.http.Timeout = upgradeTimeout
	case erasePath:
		c.http.Timeout = admin.EraseTimeout
	}
	res, err := c.http.Do(req)
	if err != nil {
		if failed, ok := errors.AsType[*url.Error](err); ok {
			err = failed.Err
		}
		return 0, nil, fmt.Errorf("%s: %w; is Flowbridge running, and is this its admin.listen?%s", c.shown, err, c.unnamed)
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	return res.StatusCode, body, err
}

// callsPath is the prefix of the API paths of single calls.
const callsPath = "/api/calls/"

// idPath returns the path of a call.
func idPath(id string) string { return callsPath + url.PathEscape(id) }

func seconds(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', 1, 64) }
