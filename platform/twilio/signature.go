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

// SignatureHeader is the header with the signature of Twilio's requests.
const SignatureHeader = "X-Twilio-Signature"

// errPublicURL is NewHandler's error for a wrong Options.URL.
var errPublicURL = errors.New("twilio: public URL")

// Sign returns the signature of a request: the base64 of an HMAC-SHA1 whose key is the account's auth token. It covers
// the URL, followed by the name and value of each form parameter, in the order of the names (twilio.com/docs, "Webhooks
// security"). The URL is the one that was sent, including its query. form is the body of a POST, or nil for a GET.
// Several values of a name are sorted, and equal ones count once, as in Twilio's own libraries.
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

// verifier checks signatures against the URL that is set at Twilio. Behind a proxy, the request has another URL.
type verifier struct {
	token   string
	origins []string // scheme and host: as configured, then with and without a port
	path    string
}

// newVerifier returns a verifier. public is the server's public URL with the part of the path that a proxy removes, or
// the URL of the webhook as set at Twilio.
func newVerifier(token, public string) (*verifier, error) {
	u, err := url.Parse(public)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: it can't be read; write it as in Twilio's console, like https://voice.example.com",
			errPublicURL)
	case u.User != nil:
		return nil, fmt.Errorf("%w: leave user name and password out", errPublicURL)
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, fmt.Errorf("%w %q: write it as in Twilio's console, like https://voice.example.com", errPublicURL, public)
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return nil, fmt.Errorf("%w %q: leave out what follows the path; the query is taken from the request",
			errPublicURL, public)
	}
	return &verifier{token, origins(u), strings.TrimSuffix(u.EscapedPath(), "/")}, nil
}

// origins returns the equivalent spellings of scheme and host. The signed URL may or may not have a port, independent
// of the configuration, so Twilio's libraries try both, too.
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

// signedURLs returns the URLs that may have been signed: the configured URL, with path and query as they were sent, not
// decoded. A proxy may have removed or replaced a part of the path, so these forms are tried as well. That is safe,
// because signing any of them requires the token. The log shows the URLs, so that a mistake can be found.
func (v *verifier) signedURLs(r *http.Request) []string {
	path, query, asked := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(path, "/") { // the absolute form, from a proxy
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

// verify reports whether the request is signed with the token.
func (v *verifier) verify(r *http.Request, form url.Values) bool {
	given, good := []byte(r.Header.Get(SignatureHeader)), false
	for _, address := range v.signedURLs(r) {
		if hmac.Equal([]byte(Sign(v.token, address, form)), given) {
			good = true
		}
	}
	return good
}
