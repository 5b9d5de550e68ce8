package cli

import (
	"fmt"
	"testing"
)

// Text from a caller is not sent to the operator's terminal unchanged.
func TestShown(t *testing.T) {
	for in, want := range map[string]string{"+15075550100": "+15075550100", "a\x1b[2Jb": "a?[2Jb", "\x9b31m": "?31m", "x\u202ey": "x?y", "Zoë": "Zoë"} {
		if got := Shown(in); got != want {
			t.Errorf("%q: %q; want %q", in, got, want)
		}
	}
}

func TestHostPort(t *testing.T) {
	for text, want := range map[string]string{
		"127.0.0.1:5070": "127.0.0.1 5070", "127.0.0.1": "127.0.0.1 5060", "pbx.example.com:1": "pbx.example.com 1",
		"[::1]:5070": "::1 5070", "[::1]": "::1 5060", "": "", ":5060": "", "h:": "", "h:0": "", "h:65536": "", "h:x": "", "a b:1": "",
		"::1": "", "[::1": "", "[127.0.0.1]:1": "", "a@b": "", "h:1:2": "",
	} {
		got := ""
		if host, port, ok := HostPort(text, 5060); ok {
			got = fmt.Sprint(host, " ", port)
		}
		if got != want {
			t.Errorf("%q: got %q; want %q", text, got, want)
		}
	}
	if _, _, ok := HostPort("127.0.0.1", 0); ok {
		t.Error("a port that has to be written is not missed")
	}
}

func TestCount(t *testing.T) {
	for n, want := range map[int]string{0: "0 trunks, 0 calls are left", 1: "1 trunk, 1 call is left", 2: "2 trunks, 2 calls are left"} {
		if got := Count(n, "trunk") + ", " + CallsLeft(n); got != want {
			t.Errorf("got %s; want %s", got, want)
		}
	}
}
