package message

import (
	"strings"
	"testing"
	"time"
)

func TestParseDTMFInfo(t *testing.T) {
	const relay, alone = "application/dtmf-relay", "application/dtmf"
	for _, tt := range []struct {
		kind, body string
		digit      byte // the key; 0 if there is none
		ms         int
	}{
		{relay, "Signal=5\r\nDuration=160\r\n", '5', 160},
		{relay, "Signal=5\r\nDuration=160", '5', 160},
		{relay, "Signal=5\nDuration=160\n", '5', 160},
		{relay, " SIGNAL = 5 \r\n\tduration = 160 \r\n", '5', 160},
		{relay, "\r\nDuration=160\r\nX=y\r\nSignal=0", '0', 160},
		{"Application/DTMF-Relay ; charset=utf-8", "Signal= *\r\nDuration= 40\r\n", '*', 40},
		{relay, "Signal=#", '#', 100},
		{relay, "Signal=10", '*', 100},
		{relay, "Signal=11", '#', 100},
		{relay, "Signal=12", 'A', 100},
		{relay, "Signal=15", 'D', 100},
		{relay, "Signal=d", 'D', 100},
		{relay, "Signal=1\r\nDuration=0", '1', 40},
		{relay, "Signal=1\r\nDuration=39", '1', 40},
		{relay, "Signal=1\r\nDuration=5000", '1', 5000},
		{relay, "Signal=1\r\nDuration=5001", '1', 5000},
		{relay, "Signal=1\r\nDuration=" + strings.Repeat("9", 100), '1', 5000},
		{relay, "Signal=1\r\nDuration=-5", '1', 100},
		{relay, "Signal=1\r\nDuration=", '1', 100},
		{relay, "Signal=1\r\nDuration=160ms", '1', 100},
		{relay, "", 0, 0},
		{relay, "5", 0, 0},
		{relay, "Signal=", 0, 0},
		{relay, "Signal=16", 0, 0}, // 16 means flash
		{relay, "Signal=05", 0, 0},
		{relay, "Signal=015", 0, 0},
		{relay, "Signal=-1", 0, 0},
		{relay, "Signal=55", 0, 0},
		{relay, "Signal=E", 0, 0},
		{relay, "Signal=1\r\nSignal=2", 0, 0},
		{relay, "Signal=1\r\nSignal=x", 0, 0},
		{relay, "Signal=x\r\nSignal=1", 0, 0},
		{relay, "Signal=1" + strings.Repeat("\r\n", 200), 0, 0},
		{relay, "Duration=100", 0, 0},
		{alone, "5", '5', 100},
		{alone, " # \r\n", '#', 100},
		{alone, "b", 'B', 100},
		{alone, "11", '#', 100},
		{alone, "Signal=5", 0, 0},
		{alone, "", 0, 0},
		{alone, "5\r\n6", 0, 0},
		{alone, "\x00", 0, 0},
		{"text/plain", "5", 0, 0},
		{"", "Signal=5", 0, 0},
	} {
		digit, d, ok := ParseDTMFInfo(tt.kind, []byte(tt.body))
		if digit != tt.digit || d != time.Duration(tt.ms)*time.Millisecond || ok != (tt.digit != 0) {
			t.Errorf("%s %q: %q, %v, %v; want %q, %d ms", tt.kind, tt.body, digit, d, ok, tt.digit, tt.ms)
		}
	}
}

func TestDTMFInfo(t *testing.T) {
	for _, tt := range []struct {
		digit byte
		d     time.Duration
		want  string
	}{
		{'5', 160 * time.Millisecond, "Signal=5\r\nDuration=160\r\n"},
		{'*', 0, "Signal=*\r\nDuration=40\r\n"},
		{'a', time.Minute, "Signal=A\r\nDuration=5000\r\n"},
		{'#', 99999 * time.Microsecond, "Signal=#\r\nDuration=99\r\n"},
	} {
		if kind, body := DTMFInfo(tt.digit, tt.d); kind != "application/dtmf-relay" || string(body) != tt.want {
			t.Errorf("%q, %v: %s %q; want %q", tt.digit, tt.d, kind, body, tt.want)
		}
	}
	for c := range 256 {
		kind, body := DTMFInfo(byte(c), time.Second)
		if _, _, ok := ParseDTMFInfo(kind, body); ok != (kind != "") {
			t.Errorf("%#x gives %s %q", c, kind, body)
		}
	}
}

// FuzzDTMFInfo checks that a parsed digit has a sensible duration, and stays the same
// when it is written and read again.
func FuzzDTMFInfo(f *testing.F) {
	f.Add("application/dtmf-relay", []byte("Signal=5\r\nDuration=160\r\n"))
	f.Add("application/dtmf", []byte("#"))
	f.Add("application/dtmf-relay;x", []byte(" signal = 11 \nDURATION=99999999999999999999"))
	f.Fuzz(func(t *testing.T, kind string, body []byte) {
		digit, d, ok := ParseDTMFInfo(kind, body)
		if !ok {
			if digit != 0 || d != 0 {
				t.Errorf("%q: %q, %v beside no", body, digit, d)
			}
			return
		}
		if strings.IndexByte("0123456789*#ABCD", digit) < 0 || d < shortestDigit || d > longestDigit {
			t.Errorf("%q: %q, %v", body, digit, d)
		}
		again, d2, ok := ParseDTMFInfo(DTMFInfo(digit, d))
		if !ok || again != digit || d2 != d {
			t.Errorf("%q, %v; then %q, %v, %v", digit, d, again, d2, ok)
		}
	})
}
