package main

import (
	"strings"
	"testing"
)

func TestBencode(t *testing.T) {
	d := map[string]string{"command": "offer", "sdp": "v=0\r\n", "empty": ""}
	const want = "d7:command5:offer5:empty0:3:sdp5:v=0\r\ne"
	got := bencode(d)
	if got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	for key, value := range d {
		if field(got, key) != value {
			t.Errorf("%s is %q", key, field(got, key))
		}
	}
}

func TestFieldThatIsNot(t *testing.T) {
	for _, text := range []string{"", "de", "d3:sdp", "d3:sdp5:v=0e", "d3:sdpi5ee", "d3:sdp-1:xe", "d3:sdp" + strings.Repeat("9", 30) + ":xe"} {
		if got := field(text, "sdp"); got != "" {
			t.Errorf("%q: got %q", text, got)
		}
	}
}

func FuzzField(f *testing.F) {
	f.Add("d6:result2:oke", "result")
	f.Fuzz(func(_ *testing.T, text, key string) { field(text, key) })
}
