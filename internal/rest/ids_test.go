package rest

import (
	"strings"
	"testing"
)

func TestBadID(t *testing.T) {
	for id, want := range map[string]string{
		"":                       "it is empty",
		"a":                      "",
		"5e0f4c1e-7a53:~!":       "",
		strings.Repeat("x", 256): "",
		strings.Repeat("x", 257): "id of 257 bytes",
		"a b":                    "id with byte 0x20 at 1",
		"a\r\nX: y":              "id with byte 0x0d at 1",
		"é":                      "id with byte 0xc3 at 0",
		"ab\x7f":                 "id with byte 0x7f at 2",
	} {
		if got := BadID(id); got != want {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}
