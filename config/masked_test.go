package config

import (
	"strings"
	"testing"
)

// What looks like a secret is not shown, however it is written; names of files and variables are.
func TestMasked(t *testing.T) {
	for text, want := range map[string]string{
		"token_file: /run/token\n":                                       "token_file: /run/token\n",
		"auth: {username: a, password_env: PBX}\n":                       "auth: {username: a, password_env: PBX}\n",
		"headers: {Authorization: \"Bearer ${KEY}\"}\n":                  "headers: {Authorization: \"Bearer ${KEY}\"}\n",
		"headers: {Authorization: \"Bearer abcd1234\", X-A: \"${B}\"}\n": "headers: {Authorization: ***, X-A: \"${B}\"}\n",
		"password: hunter22 # mine\n":                                    "password: *** # mine\n",
		"x-api-key:\n  k-12345\nname: a\n":                               "x-api-key:\n  ***\nname: a\n",
		"secret: |\n  one-line\n  two-line\n":                            "secret: |\n  ***\n  ***\n",
		"# token: oldtoken\na: 1\n":                                      "# token: ***\na: 1\n",
		"{\"token\": \"ab\\\"cdef\"}\n":                                  "{\"token\": ***}\n",
		"url: https://me:pass@a.test/x?api_key=k1&b=2\n":                 "url: https://***@a.test/x?api_key=***&b=2\n",
		"token: not\" yaml: [\n":                                         "token: ***\n",
		"tokens: [{name: anna, file: /run/anna}]\n":                      "tokens: [{name: anna, file: /run/anna}]\n",
		"match: {header: \"X-Token: abc\"}\n":                            "match: {header: \"***\"}\n",
		"dsn: postgres://u:p4ss@db/x\n":                                  "dsn: ***\n",
		"headers: {X-Auth: abc}\n":                                       "headers: {X-Auth: ***}\n",
		"headers:\n  X-Auth: abcdefgh\n  X-Call: '{{id}}'\n":             "headers:\n  X-Auth: ***\n  X-Call: '{{id}}'\n",
		"auth: {username: a, password: x}\n":                             "auth: {username: a, password: ***}\n",
		"headers:\n  X-Auth: >-\n    one-line-1\n    two-line-2\n":       "headers:\n  X-Auth: >-\n    ***\n    ***\n",
		"headers:\n  Authorization:\n    Bearer\n    abcd1234\n":         "headers:\n  Authorization:\n    Bearer\n    ***\n",
		"k: &k harmless1\nheaders: {X-Auth: *k}\n":                       "k: &k ***\nheaders: {X-Auth: *k}\n",
		"h: &h {X-Auth: harmless1}\nheaders: {<<: *h}\n":                 "h: &h {X-Auth: ***}\nheaders: {<<: *h}\n",
		"headers: {X-Auth: \"ab\\\"cdefg\"}\n":                           "headers: {X-Auth: \"***\"}\n",
		"token_file: 4f1c0bd2a6e94c1e8d\n":                               "token_file: ***\n",
		"password_env: PBX_PASSWORD_2026_EU\n":                           "password_env: PBX_PASSWORD_2026_EU\n",
		"key_file: /etc/flowbridge/keys/a1b2c3d4e5\n":                    "key_file: /etc/flowbridge/keys/a1b2c3d4e5\n",
		"url: https://a.test/x?code=k1&b=2\n":                            "url: https://a.test/x?code=***&b=2\n",
		"pass_headers: [X-Carrier]\n":                                    "pass_headers: [X-Carrier]\n",

		"uri: \"sip:{{.To.Number}}@a.test;token=k1;transport=tls\"\n":        "uri: \"sip:{{.To.Number}}@a.test;token=***;transport=tls\"\n",
		"prepare: {body: {pins: [ab12], on: {x: [Hello, 17]}, a: {b: c}}}\n": "prepare: {body: {pins: [***], on: {x: [***, 17]}, a: {b: c}}}\n",
		"prepare: {body: {v: [{name: token, value: abcd}]}}\n":               "prepare: {body: {v: [{name: ***, value: ***}]}}\n",
		"prepare: {body: {to: ['{{.To.Number}}']}}\n":                        "prepare: {body: {to: ['{{.To.Number}}']}}\n",
		"body: {tokens: [abc]}\n":                                            "body: {tokens: [***]}\n",
		"a: 1 # the old token abc\n":                                         "a: 1 # the old token ***\n",
		"# Bearer abc\n# X-Auth: abc\na: 1\n":                                "# Bearer ***\n# X-Auth: ***\na: 1\n",
		"# was 4f1c0bd2a6e94c1e8d until May\n":                               "# was *** until May\n",
		"# token_file: /run/token\n":                                         "# token_file: /run/token\n",
		"pin: 1234\nuser_pwd: abcd\nuserPin: 99\nping: 30s\nmapping: abc\n":  "pin: ***\nuser_pwd: ***\nuserPin: ***\nping: 30s\nmapping: abc\n",
		"x: |\n  -----BEGIN EC PRIVATE KEY-----\n  ab/c\n  d+ef\n  -----END EC PRIVATE KEY-----\na: 1\n": "x: |\n" +
			"  -----BEGIN EC PRIVATE KEY-----\n  ***\n  ***\n  -----END EC PRIVATE KEY-----\na: 1\n",
		"x: \"-----BEGIN PRIVATE KEY-----\\nab/c\\n-----END PRIVATE KEY-----\"\n": "x: \"-----BEGIN PRIVATE KEY-----***-----END PRIVATE KEY-----\"\n",
		// What has to be read: the templates, and what is too short for a secret.
		"headers: {X-EI: \"S.{{.Prepare.CallID}};\"}\n":                 "headers: {X-EI: \"S.{{.Prepare.CallID}};\"}\n",
		"headers: {X-Token: \"S.{{.Prepare.CallID}};\"}\n":              "headers: {X-Token: \"S.{{.Prepare.CallID}};\"}\n",
		"headers: {X-A: \"{{.Header \\\"X-B\\\"}}-hunter22\"}\n":        "headers: {X-A: \"{{.Header \\\"X-B\\\"}}***\"}\n",
		"headers: {X-A: \"key{{.CallID}}abcd{{.CallID}}\"}\n":           "headers: {X-A: \"key{{.CallID}}***{{.CallID}}\"}\n",
		"headers: {X-A: \"Digest ${KEY}\", X-B: \"${A}-${B}/abcde\"}\n": "headers: {X-A: \"***${KEY}\", X-B: \"${A}-${B}***\"}\n",
	} {
		if got := Masked(text); got != want {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
}

// FuzzMasked: no text breaks it, the lines keep their numbers, and a secret beside it is masked.
func FuzzMasked(f *testing.F) {
	for _, text := range []string{"", "a: 1", "token: &x y\nb: *x", "secret: |\n a", "? token\n: b", "a: \"", "'"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := Masked(text); strings.Count(got, "\n") != strings.Count(text, "\n") {
			t.Errorf("%q has other lines: %q", text, got)
		}
		const secret = "Z9-planted-Z9"
		if got := Masked("password: " + secret + "\n" + text); strings.Contains(got, secret) && !strings.Contains(text, secret) {
			t.Errorf("the secret is in %q", got)
		}
	})
}

// A text that quotes a file is without the file's secrets.
func TestMaskedIn(t *testing.T) {
	if got := MaskedIn("headers: {X-Auth: harmless1}\n", `targets[0]: "harmless1" is no template`); got != `targets[0]: "***" is no template` {
		t.Error(got)
	}
}

// An error that quotes a value is without what may be a secret in it.
func TestErrorsQuoteNoSecrets(t *testing.T) {
	for text, want := range map[string]string{
		`headers: {X-Auth: "Bearer abcd1234{{"}`:                         `X-Auth: "***" cannot be used`,
		`headers: {X-Call: "hunter22{{"}`:                                `X-Call: "***" cannot be used`,
		`uri: "sip:{{.To.Number}}@h;token=abcd1234;transport=xyz"`:       `"sip:{{.To.Number}}@h;token=***;transport=xyz" asks`,
		`uri: "sip:{{.To.Number}}@h;transport=tcp;pin=99;token=1{{.X}}"`: `@h;transport=tcp;pin=***;token=***`,
	} {
		_, err := Parse("f", []byte("targets:\n  - {name: a, kind: sip, "+text+"}\n"), testEnv)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}
