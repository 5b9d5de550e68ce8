package synthflow

import (
	"errors"
	"testing"
)

func TestParseXEI(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want XEI
		err  error
	}{
		{"S.abc;", XEI{S: "abc"}, nil},
		{" S.abc ; E.1;O.+15; ", XEI{S: "abc", E: "1", O: "+15"}, nil},
		{"O.o;E.e;S.s;", XEI{S: "s", E: "e", O: "o"}, nil},
		{"E.FOO.x;", XEI{E: "FOO.x"}, nil},
		{"E.a S.b;", XEI{E: "a S.b"}, nil},
		{"S.abc", XEI{}, errXEIUnterminated},
		{"E.1;S.abc", XEI{}, errXEIUnterminated},
		{"S.a;S.b;", XEI{}, errXEIDuplicate},
		{"S.a;X.b;", XEI{}, errXEIUnknown},
		{"S.a;junk", XEI{}, errXEIUnknown},
		{"S.a;;", XEI{}, errXEIUnknown},
		{"s.a;", XEI{}, errXEIUnknown},
		{"S.;", XEI{}, errXEIUnknown},
		{"S.  ;", XEI{}, errXEIUnknown},
		{"a29407fb", XEI{}, errXEIUnknown},
		{"", XEI{}, errXEIEmpty},
		{";", XEI{}, errXEIUnknown},
		{"S.a\r\nB: c;", XEI{}, errXEIValue},
		{"S.a\x00;", XEI{}, errXEIValue},
	} {
		t.Run(tt.in, func(t *testing.T) {
			if got, err := ParseXEI(tt.in); got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

// written returns the text of X-EI, with its tokens in the order S, E, O.
func written(x XEI) (s string) {
	for _, t := range [...]struct{ name, value string }{{"S.", x.S}, {"E.", x.E}, {"O.", x.O}} {
		if t.value != "" {
			s += t.name + t.value + ";"
		}
	}
	return s
}

// FuzzParseXEI checks that a parsed X-EI is the same after it is written and parsed again.
func FuzzParseXEI(f *testing.F) {
	for _, s := range []string{"S.abc;", "S.a;E.b;O.c;", "E.FOO.x", " O.+1 ; S.x;S.y", "S.\u00a0;", "S. a;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, err := ParseXEI(s)
		if err != nil {
			if x != (XEI{}) {
				t.Fatalf("got %+v beside %v", x, err)
			}
			return
		}
		if again, err := ParseXEI(written(x)); err != nil || again != x {
			t.Fatalf("%q: got %+v, %v; want %+v", s, again, err, x)
		}
	})
}
