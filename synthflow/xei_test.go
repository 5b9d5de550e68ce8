package synthflow

import (
	"errors"
	"testing"
)

func TestParseXEI(t *testing.T) {
	for _, tt := range []struct {
		in     string
		want   XEI
		err    error // of ParseXEI
		strict error // of ParseXEIStrict
	}{
		{"S.abc;", XEI{S: "abc"}, nil, nil},
		{" S.abc ; E.1;O.+15; ", XEI{S: "abc", E: "1", O: "+15"}, nil, nil},
		{"O.o;E.e;S.s;", XEI{S: "s", E: "e", O: "o"}, nil, nil},
		{"E.FOO.x;", XEI{E: "FOO.x"}, nil, nil},
		{"E.a S.b;", XEI{E: "a S.b"}, nil, nil},
		{"S.abc", XEI{S: "abc"}, ErrXEIUnterminated, ErrXEIUnterminated},
		{"E.1;S.abc", XEI{E: "1", S: "abc"}, ErrXEIUnterminated, ErrXEIUnterminated},
		{"S.a;S.b;", XEI{S: "a"}, nil, ErrXEIDuplicate},
		{"S.a;X.b;", XEI{S: "a"}, nil, ErrXEIUnknown},
		{"S.a;junk", XEI{S: "a"}, nil, ErrXEIUnknown},
		{"S.a;;", XEI{S: "a"}, nil, ErrXEIUnknown},
		{"s.a;", XEI{}, ErrXEIEmpty, ErrXEIUnknown},
		{"S.;", XEI{}, ErrXEIEmpty, ErrXEIUnknown},
		{"S.  ;", XEI{}, ErrXEIEmpty, ErrXEIUnknown},
		{"a29407fb", XEI{}, ErrXEIEmpty, ErrXEIUnknown},
		{"", XEI{}, ErrXEIEmpty, ErrXEIEmpty},
		{";", XEI{}, ErrXEIEmpty, ErrXEIUnknown},
		{"S.a\r\nB: c;", XEI{}, ErrXEIValue, ErrXEIValue},
		{"S.a\x00;", XEI{}, ErrXEIValue, ErrXEIValue},
	} {
		t.Run(tt.in, func(t *testing.T) {
			if got, err := ParseXEI(tt.in); got != tt.want || !errors.Is(err, tt.err) || (err != nil) != (tt.err != nil) {
				t.Errorf("got %+v, %v; want %+v, %v", got, err, tt.want, tt.err)
			}
			want := tt.want
			if tt.strict != nil {
				want = XEI{}
			}
			if got, err := ParseXEIStrict(tt.in); got != want || !errors.Is(err, tt.strict) || (err != nil) != (tt.strict != nil) {
				t.Errorf("strict: got %+v, %v; want %+v, %v", got, err, want, tt.strict)
			}
		})
	}
}

func TestMarshalXEI(t *testing.T) {
	for _, tt := range []struct {
		in   XEI
		want string
		err  error
	}{
		{XEI{S: "s"}, "S.s;", nil},
		{XEI{O: "o", S: "s", E: "e"}, "S.s;E.e;O.o;", nil},
		{XEI{}, "", ErrXEIEmpty},
		{XEI{S: "a;b"}, "", ErrXEIValue},
		{XEI{S: "s", E: "a\rb"}, "", ErrXEIValue},
		{XEI{S: "s", O: "a\nb"}, "", ErrXEIValue},
		{XEI{S: "s", O: "a\x00b"}, "", ErrXEIValue},
		{XEI{S: "s "}, "", ErrXEIValue},
	} {
		if got, err := tt.in.Marshal(); got != tt.want || !errors.Is(err, tt.err) {
			t.Errorf("%+v: got %q, %v; want %q, %v", tt.in, got, err, tt.want, tt.err)
		}
	}
}

func FuzzParseXEI(f *testing.F) {
	for _, s := range []string{"S.abc;", "S.a;E.b;O.c;", "E.FOO.x", " O.+1 ; S.x;S.y", "S.\u00a0;", "S. a;"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		x, err := ParseXEI(s)
		if err != nil && !errors.Is(err, ErrXEIUnterminated) {
			if x != (XEI{}) {
				t.Fatalf("got %+v beside %v", x, err)
			}
			return
		}
		out, err := x.Marshal()
		if err != nil {
			t.Fatalf("parsed from %q, but not to be sent: %+v: %v", s, x, err)
		}
		for _, parse := range []func(string) (XEI, error){ParseXEI, ParseXEIStrict} {
			if again, err := parse(out); err != nil || again != x {
				t.Fatalf("%q: got %+v, %v; want %+v", out, again, err, x)
			}
		}
	})
}
