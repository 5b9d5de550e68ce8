package check

import (
	"fmt"
	"strings"
	"testing"
)

// A trunk with some networks of a carrier is warned of if others are missing: all of them, or those of the same region.
func TestCarrierWarnings(t *testing.T) {
	for sources, want := range map[string]string{
		"203.0.113.0/24":                   "",
		"54.172.60.0/30":                   "trunk c has networks of twilio and lacks 54.244.51.0/30 (Oregon), 177.71.206.192/30 (São Paulo), 54.171.127.192/30 (Ireland), 35.156.191.128/30 (Frankfurt), 3 more",
		"54.172.60.0/30, 0.0.0.0/0":        "",
		"185.246.41.140, 185.246.41.141":   "",
		"185.246.41.140, 192.76.120.10":    "trunk c has networks of telnyx and lacks 64.16.250.10 (US), 185.246.41.141 (Europe)",
		"local, 192.76.120.10, 10.0.0.0/8": "trunk c has networks of telnyx and lacks 64.16.250.10 (US)",
	} {
		got := fmt.Sprint(carrierWarnings(parsed(t, fmt.Sprintf("trunks: [{name: c, sources: [%s]}]", sources))))
		if want == "" && got != "[]" || !strings.Contains(got, want) {
			t.Errorf("%s: %s; want %q", sources, got, want)
		}
	}
}
