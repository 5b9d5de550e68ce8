package prepare

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/internal/rest"
)

// If the URL contains a secret from the environment, no error contains the secret, in any encoding, nor the URL's
// query.
func TestSecretsOfURLAreInNoError(t *testing.T) {
	const secret = "env/secret +4711"
	for name, at := range map[string]string{
		"path":        "/v1/" + url.PathEscape(secret) + "/calls",
		"query":       "/v1/calls?to=1555&key=" + url.QueryEscape(secret),
		"lower case":  "/v1/env%2fsecret%20%2b4711/calls",
		"all escaped": "/v1/" + escaped(secret) + "/calls?key=" + escaped(secret),
		"as it is":    "/v1/env/secret +4711/calls",
	} {
		for kind, api := range map[Kind]http.RoundTripper{
			KindConnect: Transport(), // port 1 refuses connections
			KindTimeout: &countingAPI{api: hang},
		} {
			t.Run(name+" "+string(kind), func(t *testing.T) {
				test := func(t *testing.T) {
					c := newClient(t, rest.Options{Transport: api, Secrets: []string{secret}, Timeout: time.Second})
					var err error
					if c.ask.URL, err = url.Parse("http://127.0.0.1:1" + at); err != nil {
						t.Fatal(err)
					}
					_, err = c.prepare(t.Context(), "k")
					text := err.Error()
					plain, _ := url.PathUnescape(text)
					for _, part := range []string{"secret", "4711", "1555", "key="} {
						if strings.Contains(text+plain, part) {
							t.Errorf("%s is in %s", part, text)
						}
					}
					if kindOf(err) != kind || !strings.Contains(text, "http://127.0.0.1:1/v1/") {
						t.Errorf("got %s", text)
					}
				}
				if kind == KindTimeout {
					synctest.Test(t, test)
				} else {
					test(t)
				}
			})
		}
	}
}

// escaped escapes every byte of a text for a URL.
func escaped(s string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		b.WriteString("%" + string(hex[s[i]>>4]) + string(hex[s[i]&15]))
	}
	return b.String()
}

// If only the HTTP transport has timed out, the error is a timeout as well.
func TestTimeoutOfTheTransport(t *testing.T) {
	c := newClient(t, rest.Options{Transport: &countingAPI{api: func(int, *http.Request) (*http.Response, error) {
		return nil, context.DeadlineExceeded
	}}})
	if _, err := c.prepare(t.Context(), "k"); kindOf(err) != KindTimeout {
		t.Errorf("got %v", err)
	}
}
