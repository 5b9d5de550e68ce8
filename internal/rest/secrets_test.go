package rest

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

func TestSecretNames(t *testing.T) {
	for _, name := range []string{
		"trunk_pwd", "trunk-pwd", "Passwd", "authentication.password", "pass-phrase", "serverUrlSecret", "tokens", "accessToken", "X-Api-Key", "api_key",
		"apiKey", "Authorization", "private-key", "PRIVATE_KEY", "headers", "customHeaders", "server.headers",
	} {
		if !namesSecret(name) {
			t.Errorf("%s is shown", name)
		}
	}
	for _, name := range []string{"", "name", "key", "maxTokens", "max_tokens", "max-completion-tokens", "header", "passive", "trunk_username", "sipUri"} {
		if namesSecret(name) {
			t.Errorf("%s is hidden", name)
		}
	}
}

// secretive has a secret in each possible place. Each secret contains 5ecre7 or 5555.
const secretive = `{
	"name": "plain", "model": {"maxTokens": 250, "tools": [{"server": {"url": "https://plain.example", "secret": 55551}}]},
	"server": {"headers": {"X-Api-Key": "5ecre7a", "X-Number": 55552, "X-Plain": "", "X-List": [{"value": "5ecre7b"}], "X-On": true}},
	"headers": [{"key": "5ecre7c", "value": "5ecre7d"}],
	"tokens": ["5ecre7e", 55553, [["5ecre7f"]], null], "private-key": {"a": {"b": "5ecre7g"}}, "Trunk-PWD": -5555.4
}`

func TestMasked(t *testing.T) {
	o, err := ParseObject([]byte(secretive))
	must(t, err)
	got, err := Object{"v": Masked(map[string]any(o))}.Marshal()
	const want = `{"v":{"Trunk-PWD":"[redacted]","headers":[{"key":"[redacted]","value":"[redacted]"}],` +
		`"model":{"maxTokens":250,"tools":[{"server":{"secret":"[redacted]","url":"https://plain.example"}}]},"name":"plain",` +
		`"private-key":{"a":{"b":"[redacted]"}},` +
		`"server":{"headers":{"X-Api-Key":"[redacted]","X-List":[{"value":"[redacted]"}],"X-Number":"[redacted]","X-On":"[redacted]","X-Plain":""}},` +
		`"tokens":["[redacted]","[redacted]",[["[redacted]"]],null]}}`
	if err != nil || string(got) != want {
		t.Errorf("got  %s, %v\nwant %s", got, err, want)
	}
	all := slices.Sorted(slices.Values(Secrets(map[string]any(o))))
	if got := strings.Join(all, " "); got != "-5555.4 55551 55552 55553 5ecre7a 5ecre7b 5ecre7c 5ecre7d 5ecre7e 5ecre7f 5ecre7g" {
		t.Errorf("got %s", got)
	}
}

// If an API repeats the request in its refusal, the error contains no secret of the
// request.
func TestSecretsOfARequestAreInNoError(t *testing.T) {
	o, err := ParseObject([]byte(secretive))
	must(t, err)
	for _, status := range []int{200, 400} {
		c := api(t, func(w http.ResponseWriter, r *http.Request) {
			answer(status, "application/json", `{"detail":`+strings.Join(strings.Fields(secretive), " ")+`}`)(w, r)
		}, func(o2 *Options) { o2.Secrets = Secrets(map[string]any(o)) })
		r := Request{Method: http.MethodPost, Path: "/x", Body: o}
		a, err := c.Do(t.Context(), r)
		if err == nil {
			err = c.Unusable(r, a, "it is not to be used")
		}
		if text := err.Error(); strings.Contains(text, "5ecre7") || strings.Contains(text, "5555") || !strings.Contains(text, "plain.example") {
			t.Errorf("%d: got %s", status, text)
		}
	}
}

// Values of fields that hold secrets do not appear in differences, because differences are
// printed.
func TestCompareShowsNoSecret(t *testing.T) {
	object := func(text string) Object {
		o, err := ParseObject([]byte(text))
		must(t, err)
		return o
	}
	for _, d := range Compare(object(`{"headers":{"A":"x"},"secret":{"a":1}}`), object(`{"headers":{"A":"y"},"secret":{"a":2}}`)) {
		if !d.NotShown || d.Have != nil || d.Want != nil {
			t.Errorf("got %+v", d)
		}
	}
}
