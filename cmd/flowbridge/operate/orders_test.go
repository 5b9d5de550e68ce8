package operate

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"flowbridge/admin"
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
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
		{"calls transfer none 4711", `1 no call "none" is live; take an id from flowbridge calls list`, ""},
		{"calls transfer live", "2 flowbridge calls transfer takes ID TO, not 1 argument ", ""},
		{"calls hold live", "0 live: the caller is on hold\n", "live hold"},
		{"calls resume live", "0 live: the caller is not on hold\n", "live unhold"},
		{"calls hold none", `1 no call "none" is live; take an id from flowbridge calls list`, ""},
		{"calls dtmf live 12#", "0 live: the keys are pressed\n", "live {Side:b Digits:12# MS:100}"},
		{"calls dtmf live a --side a --long 200ms", "0 ", "live {Side:a Digits:A MS:200}"},
		{"calls dtmf live 1 --side c", "1 side is neither a nor b", ""},
		{"calls variables live ticket=4711 mood= a=b", "0 live: variables a=b, ticket=4711\n", "live by local: map[a:b mood: ticket:4711]"},
		{"calls variables live mood=", "0 live: variables none\n", "live by local: map[mood:]"},
		{"calls variables live ticket", "2 write it like NAME=VALUE", ""},
		{"calls variables live", "2 flowbridge calls variables takes ID NAME=VALUE..., not 1 argument ", ""},
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

// A seat is moved only if the command is right: a move that was begun can't be repeated for 3 s.
func TestSeatUsage(t *testing.T) {
	for command, want := range map[string]string{
		"seat take":                   "2 wrong usage: flowbridge seat take: SEAT is missing",
		"seat move":                   "2 wrong usage: flowbridge seat move: SEAT --to NODE [-- COMMAND…] is missing",
		"seat move east":              `2 wrong usage: --to "": write the name`,
		"seat move east --to -c FILE": `2 wrong usage: --to "-c": write the name`,
		"seat move east --to node-b -- no-such-cmd": "2 wrong usage: the command after -- can't be run",
		"targets profiles a b":                      "2 wrong usage: flowbridge targets profiles takes [NAME], not 2 arguments",
	} {
		out, code := run(t, strings.Fields(command)...)
		wantCode, says, _ := strings.Cut(want, " ")
		if fmt.Sprint(code) != wantCode || !strings.Contains(out, says) {
			t.Errorf("%s: exit code %d:\n%s\nwant %s", command, code, out, want)
		}
	}
}

// A target that failed last and was not tried since is not said to be idle, as if it were well.
func TestHealthOfATargetThatFailedLast(t *testing.T) {
	at := func(minute int) record.Time {
		return record.TimeOf(time.Date(2026, 11, 26, 19, minute, 0, 0, time.UTC))
	}
	for want, target := range map[string]live.Target{
		"unknown since 19:08, last: its API answered 503": {Health: live.HealthUnknown, LastError: &live.TargetError{At: at(8), Text: "its API answered 503"}},
		"refusing: 404 × 97":                              {Health: live.HealthRefusing, Refusing: &live.Refusing{With: "404", Attempts: 97}},
		"idle":                                            {Health: live.HealthIdle},
	} {
		if got := healthOf(&target); got != want {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}
