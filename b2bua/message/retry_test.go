package message

import (
	"testing"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Retry-After may have a comment and parameters (RFC 3261 section 20.33). Any other text counts as no Retry-After.
func TestRetryAfter(t *testing.T) {
	for value, want := range map[string]time.Duration{
		"5": 5 * time.Second, " 5 ": 5 * time.Second, "18000;duration=3600": 5 * time.Hour, "120 (I'm in a meeting)": 2 * time.Minute, "7(soon);duration=1": 7 * time.Second,
		"99999999999": (1<<32 - 1) * time.Second, "": 0, "-1": 0, "soon": 0, "5 x": 0,
	} {
		if got := RetryAfter([]sip.Header{sip.NewHeader("Server", "x"), sip.NewHeader("retry-AFTER", value)}); got != want {
			t.Errorf("%q: %v; want %v", value, got, want)
		}
	}
	if got := RetryAfter(nil); got != 0 {
		t.Errorf("without one: %v", got)
	}
}
