package main

import (
	"maps"
	"strings"
	"testing"
)

func TestBencode(t *testing.T) {
	d := map[string]string{"command": "offer", "sdp": "v=0\r\n", "empty": ""}
	const want = "d7:command5:offer5:empty0:3:sdp5:v=0\r\ne"
	if got := bencode(d); got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	got, err := bdecode(want)
	if err != nil || !maps.Equal(got, d) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestBdecodeSkipsWhatIsNoString(t *testing.T) {
	got, err := bdecode("d6:result2:ok4:tagsd1:ad3:numi-5eee4:listli1e2:xye7:warning0:e")
	if err != nil || !maps.Equal(got, map[string]string{"result": "ok", "warning": ""}) {
		t.Errorf("got %v, %v", got, err)
	}
}

func TestBdecodeRefuses(t *testing.T) {
	for _, text := range []string{
		"", "d", "le", "d1:ae", "d1:a5:bce", "d-1:ae", "d1:ai5", "d1:al", "d99999999999:ae", "d1:a1:b",
		"d1:a" + strings.Repeat("l", 1000) + strings.Repeat("e", 1001),
	} {
		if got, err := bdecode(text); err == nil {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// What decodes encodes to something that decodes to the same.
func FuzzBdecode(f *testing.F) {
	for _, text := range []string{"de", "d6:result4:ponge", "d1:al1:bi3eee", "d3:sdp3:v=0e", "d1:ad1:b1:ce1:d1:ee"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := bdecode(text)
		if err != nil {
			return
		}
		again, err := bdecode(bencode(d))
		if err != nil || !maps.Equal(d, again) {
			t.Errorf("%q: %v and %v, %v", text, d, again, err)
		}
	})
}
