package leg

import (
	"fmt"
	"strings"
	"testing"
)

// Requests may arrive out of order. Each case gives the requests that are let through, and
// when.
func TestSequence(t *testing.T) {
	for name, tt := range map[string]struct {
		first uint32
		come  string // methods with CSeqs, in the order of arrival
		now   string // requests let through at once
		later string // requests let through when the wait ends
	}{
		"in order":             {2, "INFO2 INFO3 BYE4", "INFO2 INFO3 BYE4", ""},
		"two changed places":   {2, "INFO3 INFO2 BYE4", "INFO2 INFO3 BYE4", ""},
		"all turned round":     {2, "BYE4 INFO3 INFO2", "INFO2 INFO3 BYE4", ""},
		"one is lost":          {2, "INFO3 BYE4", "", "INFO3 BYE4"},
		"one comes again":      {2, "INFO2 INFO2 INFO3", "INFO2 INFO2 INFO3", ""},
		"ACK waits for none":   {2, "ACK1 INFO3 ACK9", "ACK1 ACK9", "INFO3"},
		"unknown begin":        {0, "INFO7 INFO8", "INFO7 INFO8", ""},
		"unknown begin, REFER": {0, "BYE8 REFER7", "REFER7 BYE8", ""},
		"unknown begin, BYE":   {0, "BYE8", "", "BYE8"},
		"far behind a gap":     {2, "INFO9 INFO2 INFO3", "INFO2 INFO3", "INFO9"},
	} {
		t.Run(name, func(t *testing.T) {
			s := Sequence{Next: tt.first}
			show := func(all []RequestIn) (out []string) {
				for _, in := range all {
					out = append(out, fmt.Sprint(in.Req.Method, in.Req.CSeq().SeqNo))
				}
				return out
			}
			var now []string
			for one := range strings.SplitSeq(tt.come, " ") {
				i := strings.IndexAny(one, "0123456789")
				var seq uint32
				fmt.Sscan(one[i:], &seq)
				if in := inDialog(t, one[:i], seq); s.Take(LegStart, in) {
					now = append(append(now, show([]RequestIn{in})...), show(s.Due())...)
				}
			}
			if got := strings.Join(now, " "); got != tt.now {
				t.Errorf("at once %q; want %q", got, tt.now)
			}
			if s.Until.IsZero() != (tt.later == "") {
				t.Errorf("until %v", s.Until)
			}
			if got := strings.Join(show(s.Flush()), " "); got != tt.later {
				t.Errorf("later %q; want %q", got, tt.later)
			}
		})
	}
}
