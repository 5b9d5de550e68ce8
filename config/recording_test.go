package config

import (
	"slices"
	"testing"
	"time"
)

func TestRecording(t *testing.T) {
	for _, tt := range []struct {
		yaml string
		want Recording
	}{
		{"{}", Recording{}},
		{"recording: {path: calls}", Recording{Path: "calls", Keep: 30 * day, Formats: []string{"wav"}}},
		{
			"recording: {path: /var/x, keep: 12h, format: [pcapng, wav]}",
			Recording{Path: "/var/x", Keep: 12 * time.Hour, Formats: []string{"pcapng", "wav"}},
		},
	} {
		c, err := Parse("test.yaml", []byte(tt.yaml), testEnv)
		if err != nil {
			t.Errorf("%s: %v", tt.yaml, err)
			continue
		}
		if got := c.Recording; got.Path != tt.want.Path || got.Keep != tt.want.Keep ||
			!slices.Equal(got.Formats, tt.want.Formats) {
			t.Errorf("%s: got %+v; want %+v", tt.yaml, got, tt.want)
		}
	}
}
