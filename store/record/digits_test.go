package record

import (
	"testing"
)

func TestDigits(t *testing.T) {
	for in, want := range map[string]string{
		"+1 (507) 555-0100": "15075550100", "0100": "0100", "": "", "+": "", "alice": "", "12;drop": "", "१२": "",
	} {
		if got, ok := Digits(in); ok != (want != "") || ok && got != want {
			t.Errorf("%q: got %q, %v", in, got, ok)
		}
	}
}
