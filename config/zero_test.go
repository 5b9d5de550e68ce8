package config

import (
	"strings"
	"testing"
	"time"
)

// A key that takes a duration or 0 takes 0 in each unit, and still refuses less than nothing.
func TestZeroDurations(t *testing.T) {
	tried := 0
	for name, k := range kinds {
		if !strings.HasPrefix(k.pattern, "^0$|") || !strings.HasSuffix(k.pattern, durationText) {
			continue
		}
		tried++
		parse := k.parse(section{})
		for text, zero := range map[string]bool{"0": true, "0s": true, "0ms": true, "0h": true, "0d": true, "0h0m0s": true, "-1s": false, "": false} {
			got, c := parse(text)
			if c.none() != zero || zero && got != time.Duration(0) {
				t.Errorf("%s: %q: %v, %v", name, text, got, c)
			}
		}
	}
	if tried < 5 {
		t.Errorf("%d kinds", tried)
	}
	yaml := "trunks: [{name: carrier, sources: [192.0.2.1], session_expires: 0s}]\n" +
		"targets: [{name: agent, kind: sip, uri: 'sip:a@192.0.2.2', ping: {interval: 0s}, session_expires: 0h}]\n" +
		"recording: {path: r, beep: 0s}\nstore: {ladders: 0s}\nroutes:\n  - {trunk: carrier, targets: [agent]}\n"
	if _, err := Parse("f.yaml", []byte(yaml), testEnv); err != nil {
		t.Error(err)
	}
}
