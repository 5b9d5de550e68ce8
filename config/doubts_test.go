package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// doubtful is a whole file that nothing is to be said of; tests change a part of it.
const doubtful = `sip: {listen: ["udp://0.0.0.0:5060"]}
trunks:
  - {name: carrier, sources: [203.0.113.0/24], max_calls: 20}
targets:
  - {name: agent, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20", headers: {X-EI: "E.{{.SIPCallID}};"}}
routes:
  - {trunk: carrier, to: "^\\+1507[0-9]{7}$", targets: [agent]}
`

func warningsOf(t *testing.T, text string) string {
	t.Helper()
	cfg, err := Parse("f.yaml", []byte(text), testEnv)
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var all []string
	for _, w := range cfg.Warnings {
		if w.Problem == "" || w.Remedy == "" || w.Line == 0 || w.Path == "" {
			t.Errorf("not whole: %+v", w)
		}
		all = append(all, w.Error())
	}
	return strings.Join(all, "\n")
}

// What is valid but probably a mistake has a warning with its place.
func TestDoubts(t *testing.T) {
	secret := secretFile(t, "pw")
	for name, tt := range map[string]struct{ old, new, want string }{
		"nothing":               {"", "", ""},
		"bot without hooks":     {`kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20", headers: {X-EI: "E.{{.SIPCallID}};"}`, `kind: websocket, url: "wss://bot.example.com/", twilio: {account_sid: AC00112233445566778899aabbccddeeff, auth_token_file: ` + secret + `}`, "f.yaml:5: targets[0].twilio.auth_token_file: lets no bot end calls over HTTP, because nothing listens"},
		"bot that asks nothing": {`kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20", headers: {X-EI: "E.{{.SIPCallID}};"}`, `kind: websocket, url: "wss://bot.example.com/", twilio: {account_sid: AC00112233445566778899aabbccddeeff}`, ""},
		"queue":                 {"targets: [agent]}", "targets: [agent], queue: {}}", "f.yaml:7: routes[0].queue: is never used: target agent has neither max_calls nor max_cps, and is never full; give it max_calls"},
		"queue of a full one":   {"kind: sip,", "kind: sip, max_cps: 3,", ""},
		"open end":              {`{7}$`, `{7}`, `f.yaml:7: routes[0].to: "^\\+1507[0-9]{7}" does not end with $, so it matches whatever follows; write it like`},
		"open beginning":        {`"^`, `"`, "does not begin with ^"},
		"no anchors":            {`"^\\+1507[0-9]{7}$"`, `"1507"`, "has neither ^ nor $"},
		"from":                  {"to:", "from:", ""},
		"open from":             {`to: "^\\+1507[0-9]{7}$"`, `from: "^1"`, "routes[0].from"},
		"everything":            {`"^\\+1507[0-9]{7}$"`, `".*"`, ""},
		"whole internet":        {"203.0.113.0/24", "0.0.0.0/0", `f.yaml:3: trunks[0].sources[0]: "0.0.0.0/0" is every address there is: anybody there may call as this trunk`},
		"whole internet, IPv6":  {"203.0.113.0/24", `"::/0"`, `"::/0" is every address there is`},
		"half of it":            {"203.0.113.0/24", "0.0.0.0/1, 128.0.0.0/1", `sources[1]: "128.0.0.0/1" is larger`},
		"a large network":       {"203.0.113.0/24", "10.0.0.0/8", ""},
		"RTP of anybody":        {"max_calls: 20", `media_sources: [0.0.0.0/0]`, "trunks[0].media_sources[0]"},
		"everybody is local":    {`5060"]}`, `5060"], local_networks: [0.0.0.0/0]}`, "sip.local_networks[0]"},
		"calls of anybody":      {"kind: sip", "kind: sip, sources: [0.0.0.0/0]", "may call as this target"},
		"transfers anywhere":    {"kind: sip", `kind: sip, transfer: local, transfer_numbers: ["^\\+1$", ".*"]`, `f.yaml:5: targets[0].transfer_numbers[1]: ".*" lets the target call every number`},
		"orders anywhere":       {"kind: sip", `kind: sip, transfer_numbers: [".*"]`, `f.yaml:5: targets[0].transfer_numbers[0]: ".*" lets the target call every number`},
		"open transfers":        {"kind: sip", `kind: sip, transfer: local, transfer_numbers: ["^\\+1"]`, "transfer_numbers[0]"},
		"SIP address alone":     {`5060"]}`, `5060"], advertise: 203.0.113.5}`, "f.yaml:1: sip.advertise: stands without media.advertise"},
		"SIP name alone":        {`5060"]}`, `5060"], advertise: sip.example.com}`, "sip.advertise"},
		"both addresses":        {`5060"]}`, "5060\"], advertise: 203.0.113.5}\nmedia: {advertise: 203.0.113.5}", ""},
		"address of a listener": {`5060"]}`, "5060\"], advertise: 203.0.113.5}\nmedia: {listen: ['10.0.0.5=203.0.113.5']}", ""},
		"public listener":       {`5060"]}`, "5060\"], advertise: sip.example.com}\nmedia: {listen: [203.0.113.5]}", ""},
		"media address alone":   {`5060"]}`, "5060\"]}\nmedia: {advertise: 203.0.113.5}", "f.yaml:2: media.advertise: stands without sip.advertise"},
		"ports for two calls":   {`5060"]}`, "5060\"]}\nmedia: {ports: 10000-10007}", "f.yaml:2: media.ports: has room for 2 calls at a time, and trunks[0].max_calls is 20"},
		"ports for one call":    {"max_calls: 20}", "max_calls: 0}\nmedia: {ports: 10001-10005}", "has room for one call at a time; further ones get 503"},
		"SIP port high in them": {`5060"]}`, `15060"]}` + "\nmedia: {ports: 10000-15999}", `media.ports: has the port of sip.listen udp://0.0.0.0:15060, too; write a range without it, like "10000-15059"`},
		"SIP port low in them":  {`5060"]}`, `10060"]}` + "\nmedia: {ports: 10000-15999}", `like "10061-15999"`},
		"ports for the cap":     {`5060"]}`, "5060\"]}\nmedia: {ports: 10000-10079}", ""},
		"ports beside a trunk":  {"20}\ntargets:", "20}\n  - {name: pbx, sources: [192.0.2.9]}\nmedia: {ports: 10000-10079}\ntargets:", "has room for 20 calls at a time, 5 of which are kept for other trunks, and trunks[0].max_calls is 20"},
		"a small trunk beside":  {"20}\ntargets:", "20}\n  - {name: pbx, sources: [192.0.2.9], max_calls: 2}\nmedia: {ports: 10000-10079}\ntargets:", "20 calls at a time, 2 of which are kept"},
		"a target beside":       {"20}\ntargets:\n  - {", "20}\nmedia: {ports: 10000-10079}\ntargets:\n  - {sources: [192.0.2.20], ", "20 calls at a time, 5 of which are kept"},
		"a cap that is reached": {"20}\ntargets:\n  - {", "15}\nmedia: {ports: 10000-10079}\ntargets:\n  - {sources: [192.0.2.20], ", ""},
		"calls to a trunk":      {"20}\ntargets:\n  - {", "20, uri: 'sip:{{.To.Number}}@192.0.2.9'}\nmedia: {ports: 10000-10079}\ntargets:\n  - {sources: [192.0.2.20], ", ""},
		"a target's cap":        {"kind: sip", "kind: sip, max_calls: 9999", "targets[0].max_calls is 9999"},
		"plain http":            {"kind: sip", "kind: synthflow, prepare: {api: 'http://10.0.0.9:8080', token_env: PW}", `targets[0].prepare.api: "http://10.0.0.9:8080" sends the token unencrypted`},
		"http by a name":        {"kind: sip", "kind: synthflow, account: {api: 'http://sim', token_env: PW}", "targets[0].account.api"},
		"http to itself":        {"kind: sip", "kind: synthflow, account: {api: 'http://127.0.0.1:1', token_env: PW}", ""},
		"http to localhost":     {"kind: sip", "kind: synthflow, account: {api: 'http://localhost:1', token_env: PW}", ""},
		"admin off loopback":    {"routes:", "admin: {listen: '10.0.0.5:8080', token_file: SECRET}\nroutes:", `f.yaml:6: admin.listen: "10.0.0.5:8080" takes its token over plain HTTP`},
		"admin on loopback":     {"routes:", "admin: {listen: '[::1]:8080', token_file: SECRET}\nroutes:", ""},
		"the environment's":     {`"^\\+1507[0-9]{7}$"`, `"${LEAK}"`, `"${LEAK}" has neither`}, // what it holds is not shown
		"a hook's token":        {"routes:", "hooks: {listen: '10.0.0.5:81', variables: {token_file: SECRET}}\nroutes:", `hooks.listen: "10.0.0.5:81" takes tokens over plain HTTP`},
		"a hook's secret":       {"routes:", "hooks: {listen: '10.0.0.5:81', vapi: {secret_file: SECRET, rules: [{to: '^1', assistant_id: a}]}}\nroutes:", "hooks.vapi.rules[0].to"},
		"a hook on loopback":    {"routes:", "hooks: {listen: '127.0.0.1:81', variables: {token_file: SECRET}}\nroutes:", ""},
		"Twilio's rule":         {"routes:", "hooks: {listen: '127.0.0.1:81', twilio: {rules: [{to: '^1', targets: [agent]}]}}\nroutes:", "hooks.twilio.rules[0].to"},
		"empty token":           {"E.{{.SIPCallID}};", "E.{{.SIPCallID}};O.{{.Diversion}};", `f.yaml:5: targets[0].headers.X-EI: "E.{{.SIPCallID}};O.{{.Diversion}};" has an empty token`},
		"empty header's token":  {`"E.{{.SIPCallID}};"`, `'E.{{.Header "X-Id"}};'`, "has an empty token"},
		"a guarded token":       {`"E.{{.SIPCallID}};"`, `'E.{{.SIPCallID}};{{with .Diversion}}O.{{.}};{{end}}'`, ""},
		"a token by xei":        {`"E.{{.SIPCallID}};"`, `'{{xei "E" .SIPCallID}}{{xei "O" .Diversion}}'`, ""},
		"a bare prepared id":    {`kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20", headers: {X-EI: "E.{{.SIPCallID}};"}`, `kind: synthflow, prepare: {token_env: PW}, headers: {x-ei: "{{.Prepare.CallID}}"}`, `f.yaml:5: targets[0].headers.x-ei: "{{.Prepare.CallID}}" gives the id of the prepare step without S. before it`},
		"a prepared id":         {`kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20", headers: {X-EI: "E.{{.SIPCallID}};"}`, `kind: synthflow, prepare: {token_env: PW}, headers: {X-EI: "S.{{.Prepare.CallID}};"}`, ""},
		"a bare Call-ID":        {`"E.{{.SIPCallID}};"`, `"{{.SIPCallID}}"`, ""},
		"dialplan's letters":    {`"^\\+1507[0-9]{7}$"`, `"^\\+1507NXXXXXX$"`, `has X, Z or N as in a dialplan`},
		"a name with an N":      {`"^\\+1507[0-9]{7}$"`, `"^N1$"`, ""},
		"a name in capitals":    {`"^\\+1507[0-9]{7}$"`, `"^BOXX1$"`, ""},
		"audio of browsers":     {"trunks:\n  - {name: carrier, sources: [203.0.113.0/24], max_calls: 20}", "admin: {listen: '127.0.0.1:8080', tokens: [{name: anna, file: SECRET, rights: read, call: true}]}\ntrunks:\n  - {name: carrier, browser: true, max_calls: 20}", "f.yaml:4: trunks[0].browser: gives browsers on other machines no audio: media.listen is 0.0.0.0, for which they are told 127.0.0.1; write the address"},
		"browsers, advertised":  {"trunks:\n  - {name: carrier, sources: [203.0.113.0/24], max_calls: 20}", "admin: {tokens: [{name: anna, file: SECRET, rights: read, call: true}]}\nmedia: {listen: ['0.0.0.0=203.0.113.5']}\ntrunks:\n  - {name: carrier, browser: true, max_calls: 20}", ""},
		"browsers, bound":       {"trunks:\n  - {name: carrier, sources: [203.0.113.0/24], max_calls: 20}", "admin: {tokens: [{name: anna, file: SECRET, rights: read, call: true}]}\nmedia: {listen: [10.0.0.5]}\ntrunks:\n  - {name: carrier, browser: true, max_calls: 20}", ""},
		"browsers of nobody":    {"trunks:\n  - {name: carrier, sources: [203.0.113.0/24], max_calls: 20}", "trunks:\n  - {name: carrier, browser: true, max_calls: 20}", ""},
		"store without ladders": {"routes:", "store: {keep: 7d}\nroutes:", ""},
		"ladders":               {"routes:", "store: {keep: 7d, ladders: off}\nroutes:", ""},
		"a network within":      {"kind: sip", "kind: sip, sources: [203.0.113.9]", `f.yaml:5: targets[0].sources: 203.0.113.9/32 lies within 203.0.113.0/24 of trunks[0]: calls from there are not those of trunks[0]`},
		"within, with a user":   {"kind: sip", "kind: sip, sources: [203.0.113.9], call_auth: {username: u, password_env: PW}", ""},
		"within its own":        {"203.0.113.0/24", "203.0.113.0/24, 203.0.113.9", ""},
		"codecs, no G.711":      {"kind: sip", "kind: sip, codecs: [G729, G722]", "f.yaml:5: targets[0].codecs: has none of PCMU, PCMA, which calls of carrier have"},
		"codecs, of the trunk":  {"max_calls: 20}\ntargets:\n  - {", "codecs: [opus]}\ntargets:\n  - {codecs: [opus], ", ""},
		"codecs, the other law": {"max_calls: 20}\ntargets:\n  - {", "codecs: [PCMU]}\ntargets:\n  - {codecs: [PCMA], ", ""},
		"codecs, one of G.711":  {"kind: sip", "kind: sip, codecs: [opus, PCMA]", ""},
		"trunk without route":   {"targets:", "  - {name: pbx, sources: [192.0.2.9]}\ntargets:", "f.yaml:4: trunks[1]: has no route: each of its calls gets 404"},
		"trunk that is called":  {"targets:", "  - {name: pbx, sources: [192.0.2.9], uri: 'sip:{{.To.Number}}@192.0.2.9'}\ntargets:", "trunks[1]"},
	} {
		if tt.old != "" && !strings.Contains(doubtful, tt.old) {
			t.Fatalf("%s: nothing to replace", name)
		}
		got := warningsOf(t, strings.Replace(doubtful, tt.old, strings.ReplaceAll(tt.new, "SECRET", secret), 1))
		if !strings.Contains(got, tt.want) || tt.want == "" && got != "" || strings.Contains(got, leak) {
			t.Errorf("%s:\n%s\nwant %s", name, got, tt.want)
		}
	}
}

// OpenAI's webhook is one for a project: it does not fit a fleet, whose nodes know their own calls alone. Tokens go to
// nodes that are named, or have a seat's secret.
func TestDoubtsOfFleet(t *testing.T) {
	dsn := secretFile(t, "postgres://f:p@127.0.0.1/f")
	secret, key := secretFile(t, "whsec_c2VjcmV0"), secretFile(t, strings.Repeat("k", 32))
	token := "admin: {token_file: " + secret + "}\n"
	fleet := "fleet: {dsn_file: " + dsn + ", node: one}\n"
	hooks := "hooks: {listen: '127.0.0.1:8081', openai: {secret_file: " + secret + ", token_file: " + secret + ", session: {type: realtime}}}\n"
	for text, want := range map[string]string{
		doubtful + hooks:         "",
		doubtful + hooks + fleet: "f.yaml:8: hooks.openai: stands in a fleet",
		doubtful + fleet:         "",
		doubtful + fleet + token: "f.yaml:8: fleet: has no nodes",
		doubtful + "fleet: {dsn_file: " + secretFile(t, "postgres://f:p@db.example/f") + "}\n":                                                                                         "f.yaml:8: fleet.dsn_file: names a database on another machine",
		doubtful + "fleet: {dsn_file: " + dsn + ", nodes: ['192.0.2.12:8080']}\n" + token:                                                                                              "",
		strings.Replace(doubtful, "0.0.0.0", "192.0.2.1", 1) + "media: {listen: [192.0.2.1]}\nfleet: {dsn_file: " + dsn + ", takeover: {seat: east, key_file: " + key + "}}\n" + token: "",
	} {
		if got := warningsOf(t, text); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// A route that gets no call is named, and no other.
func TestShadowedRoutes(t *testing.T) {
	const head = `trunks: [{name: a, sources: [192.0.2.1], uri: "sip:{{.To.Number}}@192.0.2.1"}, {name: b, sources: [192.0.2.2]}]
targets: [{name: t, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.3", sources: [192.0.2.3]}, {name: u, kind: sip, uri: "sip:u@192.0.2.4"},
  {name: f, kind: sip, uri: "sip:{{.From.Number}}@192.0.2.5"}]
routes:
`
	for name, tt := range map[string]struct {
		first, later string
		shadowed     bool
	}{
		"the same":                      {"targets: [t]", "targets: [t]", true},
		"names to a fixed address":      {"targets: [t]", "targets: [u]", false},
		"names, everything in words":    {`to: ".*", targets: [t]`, `to: ".*", targets: [u]`, false},
		"names, one by a fixed address": {`to: ".*", targets: [t, u]`, `to: ".*", targets: [u]`, true},
		"names after a trunk":           {"target: t, trunks: [a]", "target: t, targets: [u]", false},
		"callers without a number":      {"targets: [f]", "trunk: a, targets: [t]", false},
		"all of a trunk":                {"trunk: a, targets: [t]", `trunk: a, to: "^1$", targets: [t]`, true},
		"any trunk before one":          {"targets: [t]", "trunk: a, targets: [t]", true},
		"one trunk before any":          {"trunk: a, targets: [t]", "targets: [t]", false},
		"another trunk":                 {"trunk: a, targets: [t]", "trunk: b, targets: [t]", false},
		"everything in words":           {`to: ".*", targets: [t]`, `to: "^\\+1$", targets: [t]`, true},
		"the same number":               {`to: "^1$", targets: [t]`, `to: "^1$", targets: [u]`, true},
		"another number":                {`to: "^1$", targets: [t]`, `to: "^2$", targets: [t]`, false},
		"longer beginning":              {`to: "^\\+49[0-9]+$", targets: [t]`, `to: "^\\+4930[0-9]{4}$", targets: [t]`, true},
		"longer beginning, open":        {`to: "^\\+49", targets: [t]`, `to: "^\\+49301$", targets: [t]`, true},
		"shorter beginning":             {`to: "^\\+4930[0-9]+$", targets: [t]`, `to: "^\\+49[0-9]+$", targets: [t]`, false},
		"as many digits":                {`to: "^\\+49[0-9]{3}$", targets: [t]`, `to: "^\\+4930[0-9]+$", targets: [t]`, false},
		"some digits":                   {`to: "^\\+49[0-4]+$", targets: [t]`, `to: "^\\+499$", targets: [t]`, false},
		"a name behind a number":        {"targets: [t]", `to: "^support$", targets: [t]`, false},
		"a name behind a fixed address": {"targets: [u]", `to: "^support$", targets: [t]`, true},
		"some callers":                  {`from: "^1$", targets: [t]`, "targets: [t]", false},
		"any caller with a number":      {`from: ".+", targets: [t]`, "targets: [t]", false},
		"a number, and perhaps none":    {`from: ".+", targets: [u]`, `from: "^[0-9]*$", targets: [t]`, false},
		"a number, and none":            {`from: "^.+$", targets: [t]`, `from: "^$", targets: [t]`, false},
		"a number, and one":             {`from: ".+", targets: [t]`, `from: "^1$", targets: [t]`, true},
		"a number twice":                {`from: ".+", targets: [t]`, `from: "^.+$", targets: [t]`, true},
		"anybody, and none":             {`from: ".*", targets: [t]`, `from: "^$", targets: [t]`, true},
		"a target's calls":              {"targets: [t]", "target: t, trunks: [a]", false},
		"the same target's":             {"target: t, trunks: [a]", `target: t, to: "^1$", trunks: [a]`, true},
	} {
		got := warningsOf(t, head+"  - {"+tt.first+"}\n  - {"+tt.later+"}\n  - {targets: [u], from: '^9999$'}\n")
		if shadowed := strings.Contains(got, "f.yaml:6: routes[1]: is never used: routes[0] takes all of its calls; put it before routes[0]"); shadowed != tt.shadowed {
			t.Errorf("%s: %s", name, got)
		}
	}
}

// The documents' examples give no reason for doubt, nor does an alias lose its place.
func TestDoubtsOfAliases(t *testing.T) {
	text := "trunks: &all [{name: a, sources: [0.0.0.0/0]}]\nroutes: [{targets: [t]}]\ntargets: [{name: t, kind: sip, uri: 'sip:t@192.0.2.1'}]\n"
	if got := warningsOf(t, text); !strings.HasPrefix(got, "f.yaml:1: trunks[0].sources[0]") {
		t.Errorf("warnings %q; want trunks[0].sources[0] of line 1 first", got)
	}
}

// Values that are nearly right get a suggestion, and no wrong one.
func TestNearest(t *testing.T) {
	known := []string{"udp", "tcp", "tls", "off", "immediate", "on-target", "PCMU", "G729"}
	for text, want := range map[string]string{
		"upd": "udp", "UDP": "udp", "tpc": "tcp", "on": "", "ws": "", "imediate": "immediate", "inmedate": "immediate", "pcmu": "PCMU", "PCMV": "PCMU",
		"G728": "G729", "": "", "x": "", "on_target": "on-target",
	} {
		if got := Nearest(text, known); got != want {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
}

// An expression that a number as it is compared matches, or a short one as it is dialled, gives no reason for doubt.
func TestDoubtsOfDialledNumbers(t *testing.T) {
	for _, tt := range []struct {
		country, expression string
		misses              bool
	}{
		{"1", `^15075785607$`, true},
		{"1", `^1507`, true},
		{"1", `^507[0-9]{7}$`, true},
		{"1", `^[2-9][0-9]{9}$`, true},
		{"1", `^011[0-9]+$`, true},
		{"1", `^\+1507[0-9]{7}$`, false},
		{"1", `^\+?1?507[0-9]{7}$`, false},
		{"1", `^8[0-9]*$`, false},
		{"1", `^911$`, false},
		{"1", `^507[0-9]{2}$`, false},
		{"1", `^support$`, false},
		{"", `^15075785607$`, false},
		{"49", `^0[0-9]{9,10}$`, true},
		{"49", `^030[0-9]+$`, true},
		{"49", `^4930[0-9]+$`, false},
		{"49", `^110$`, false},
		{"39", `^06[0-9]{8}$`, true},
		{"39", `^support$`, false},
	} {
		n, c := parseRegexp(tt.expression)
		if !c.none() || misses(n, tt.country) != tt.misses {
			t.Errorf("%s with country %q: %t, %v", tt.expression, tt.country, !tt.misses, c)
		}
	}
	for expression, numbers := range map[string]bool{`^\\+1-507-5785607$`: true, `^agent-1$`: false, `^\\+1[0-9]{3,10}$`: false, `^\\+1(507|508)`: false, `^\\+1\\(507\\)`: true} {
		got := warningsOf(t, strings.Replace(doubtful, `^\\+1507[0-9]{7}$`, expression, 1))
		if strings.Contains(got, "signs between digits") != numbers {
			t.Errorf("%s: %s", expression, got)
		}
	}
}

// A stand-in has ids of its own, and what is rendered for each call is no id yet.
func TestDoubtsOfAccounts(t *testing.T) {
	for prepare, want := range map[string]string{
		`model_id: "1744274157255x646200691892837600", workspace_id: "1738660423280x428309622607052800"`: "",
		`model_id: "5f1c2f9e-6b7a-4c1d-9e8f-0a1b2c3d4e5f", workspace_id: w`:                              "",
		`model_id: "{{.To.Number}}"`:                           "",
		`model_id: demo-agent, api: "http://127.0.0.1:8090"`:   "",
		`model_id: demo-agent`:                                 "is it the agent's name",
		`model_id: "$MODEL"`:                                   "model_id: has a $ and a name without braces", // and nothing else
		`model_id: "(507) 578-5607"`:                           "is not what ids look like",
		`model_id: "507-578-5607"`:                             "is a number",
		`model_id: "1x1", workspace_id: "1x1"`:                 "id of the workspace",
		`model_id: "", from_number: "+1 507 5550100"`:          "from_number",
		`model_id: "", custom_variables: {price: "9 $US_TAX"}`: "custom_variables.price: has a $",
		`model_id: "", custom_variables: {price: "9 $ each"}`:  "",
	} {
		text := strings.Replace(doubtful, `kind: sip, uri: "sip:{{.To.Number}}@192.0.2.20"`, "kind: synthflow, prepare: {token_env: PW, "+prepare+"}", 1)
		if got := warningsOf(t, text); !strings.Contains(got, want) || want == "" && got != "" || strings.Count(got, "f.yaml:") > 1 {
			t.Errorf("%s: %s; want %q", prepare, got, want)
		}
	}
}

// A file that every user may write decides where calls and tokens go.
func TestWritableFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "flowbridge.yaml")
	if err := os.WriteFile(name, []byte("trunks: [{name: a, sources: [192.0.2.1]}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, mode := range []os.FileMode{0o666, 0o602, 0o644, 0o660} {
		if err := os.Chmod(name, mode); err != nil {
			t.Fatal(err)
		}
		cfg, err := Load(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(fmt.Sprint(cfg.Warnings), "chmod o-w "+name); got != (mode&2 != 0) {
			t.Errorf("%o: %v", mode, cfg.Warnings)
		}
	}
}
