package config

import (
	"strings"
	"testing"
)

// transport: udp that is written down is kept: what is too large loses headers, and may be
// as large as a path takes. Otherwise a platform gets it over TCP, sooner.
func TestWrittenTransport(t *testing.T) {
	for _, tt := range []struct {
		keys     string
		overflow string
		size     int
	}{
		{"kind: vapi", OverflowTCP, 1100},
		{"kind: vapi, transport: tcp", OverflowTCP, 1100},
		{"kind: vapi, transport: udp", OverflowTrim, 1300},
		{"kind: vapi, transport: udp, budget: {size: 1000}", OverflowTrim, 1000},
		{"kind: vapi, transport: udp, budget: {size: 1100}", OverflowTrim, 1100},
		{"kind: vapi, transport: udp, budget: {}", OverflowTrim, 1300},
		{"kind: vapi, transport: udp, overflow: tcp", OverflowTCP, 1100},
		{"kind: vapi, overflow: trim", OverflowTrim, 1100},
		{"kind: sip", OverflowTrim, 1100},
		{"kind: sip, transport: udp", OverflowTrim, 1300},
		{"kind: sip, transport: udp, budget: *b", OverflowTrim, 900},
	} {
		yaml := "targets:\n  - {name: b, kind: sip, uri: \"sip:x@192.0.2.1\", budget: &b {size: 900}}\n" +
			"  - {name: agent, uri: \"sip:x@sip.vapi.ai\", " + tt.keys + "}\n"
		if strings.Contains(tt.keys, "kind: sip") {
			yaml = strings.Replace(yaml, "sip.vapi.ai", "192.0.2.2", 1)
		}
		cfg, err := Parse("flowbridge.yaml", []byte(yaml), testEnv)
		if err != nil {
			t.Errorf("%s: %v", tt.keys, err)
			continue
		}
		if got := cfg.Targets[1]; got.Overflow != tt.overflow || got.Budget.Size != tt.size {
			t.Errorf("%s: %s, %d bytes; want %s, %d", tt.keys, got.Overflow, got.Budget.Size, tt.overflow, tt.size)
		}
	}
}
