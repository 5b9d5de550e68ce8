package twilio

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // the algorithm is Twilio's
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// SignatureHeader carries the signature of a request of Twilio's.
const SignatureHeader = "X-Twilio-Signature"

// ErrPublicURL is what NewHandler complains with about Options.URL.
var ErrPublicURL = errors.New("twilio: public URL")

// Sign gives the signature of a request: base64 of the HMAC-SHA1, keyed with
// the account's auth token, of the URL followed by each parameter of the form,
// name and value, in the order of the names (twilio.com/docs, "Webhooks
// security"). The URL is as it was sent, its query included; form is the body
// of a POST, nil for a GET. Of a name with several values each different value
// counts once, in order, as Twilio's own libraries have it.
func Sign(token, address string, form url.Values) string {
	mac := hmac.New(sha1.New, []byte(token))
	mac.Write([]byte(address))
	for _, name := range slices.Sorted(maps.Keys(form)) {
		for _, value := range slices.Compact(slices.Sorted(slices.Values(form[name]))) {
			mac.Write([]byte(name))
			mac.Write([]byte(value))
		}
	}
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// verifier checks signatures against the URL that Twilio was told, which
// behind a proxy is not the one that arrives.
type verifier struct {
	token   string
	origins []string // scheme and host: as configured first, then with and without a port
	path    string
}

// newVerifier takes the public URL of the server, with what a proxy cuts off
// the path, or of the webhook as it is set at Twilio.
func newVerifier(token, public string) (*verifier, error) {
	u, err := url.Parse(public)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it can't be read; write it as in Twilio's console, like https://voice.example.com", ErrPublicURL)
	case u.User != nil:
		return nil, fmt.Errorf("%w: leave user name and password out", ErrPublicURL)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, fmt.Errorf("%w %q: write it as in Twilio's console, like https://voice.example.com", ErrPublicURL, public)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%w %q: leave out what follows the path; the query is taken from the request", ErrPublicURL, public)
	}
	return &verifier{token, origins(u), strings.TrimSuffix(u.EscapedPath(), "/")}, nil
}

// origins are the spellings that count as the same, in Twilio's libraries
// too: a port may or may not be in what was signed, whatever was configured.
func origins(u *url.URL) []string {
	host := u.Hostname()
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	bare, full := u.Scheme+"://"+host, u.Scheme+"://"+host+":"+port
	if u.Port() == "" {
		return []string{bare, full}
	}
	return []string{full, bare}
}

// signedURLs are the URLs that a signature may be of: path and query as they
// were sent, not decoded, behind what is configured. A proxy may have cut
// something off the path, or put another one in its place; that is tried,
// because only who has the token can sign any of them. They are also what is
// shown to whoever looks for the mistake.
func (v *verifier) signedURLs(r *http.Request) []string {
	path, query, asked := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // a proxy's absolute form
		path, query, asked = r.URL.EscapedPath(), r.URL.RawQuery, r.URL.RawQuery != ""
	}
	if asked {
		query = "?" + query
	}
	paths := []string{path}
	if v.path != "" && v.path != path {
		paths = []string{v.path, v.path + path, path}
	}
	var all []string
	for _, p := range paths {
		for _, origin := range v.origins {
			all = append(all, origin+p+query)
		}
	}
	return all
}

// verify says whether the request is signed with our token.
func (v *verifier) verify(r *http.Request, form url.Values) bool {
	given, good := []byte(r.Header.Get(SignatureHeader)), false
	for _, address := range v.signedURLs(r) {
		if hmac.Equal([]byte(Sign(v.token, address, form)), given) {
			good = true
		}
	}
	return good
}
