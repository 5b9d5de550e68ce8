package operate

import (
	"testing"

	"flowbridge/admin"
)

// Each order of the command line is what the server is asked, and its refusal what is printed.
func TestOrders(t *testing.T) {
	f := &fakeServer{}
	file := listening(t, f, admin.Address{TCP: "127.0.0.1:0"})
	for _, tt := range []struct{ command, want, asked string }{
		{"calls transfer live 4711", "0 live: transfer to 4711 by local: dialing", "live {To:4711 Trunk: Headers:map[] Announce: Accept: WithinMS:0}"},
		{
			"calls transfer live 4711 --trunk pbx --announce beep --accept 1 --within 5s --header X-A=b --json", `0 "state": "dialing"`,
			"live {To:4711 Trunk:pbx Headers:map[X-A:b] Announce:beep Accept:1 WithinMS:5000}",
		},
		{"calls transfer live 4712", "1 not a number or host that may be called; see transfer_numbers", ""},
		{"calls transfer none 4711", `1 no call "none" is live`, ""},
		{"calls transfer live", "2 accepts 2 arg", ""},
		{"calls hold live", "0 ", "live hold"},
		{"calls resume live", "0 ", "live unhold"},
		{"calls hold none", `1 no call "none" is live`, ""},
		{"calls dtmf live 12#", "0 ", "live {Side:b Digits:12# MS:100}"},
		{"calls dtmf live a --side a --long 200ms", "0 ", "live {Side:a Digits:A MS:200}"},
		{"calls dtmf live 1 --side c", "1 side is neither a nor b", ""},
		{"calls variables live ticket=4711 mood=", "0 ", "live by local: map[mood: ticket:4711]"},
		{"calls variables live ticket", "2 write it like NAME=VALUE", ""},
		{"calls variables live", "2 requires at least 2 arg", ""},
		{"calls variables none a=b", `1 no call "none" is live`, ""},
		{"calls dtmf none 1", `1 no call "none" is live`, ""},
	} {
		f.ordered = nil
		wants(t, file, map[string]string{tt.command: tt.want})
		if got := len(f.ordered); tt.asked == "" && got != 0 || tt.asked != "" && (got != 1 || f.ordered[0] != tt.asked) {
			t.Errorf("%s: asked %q; want %q", tt.command, f.ordered, tt.asked)
		}
	}
}
