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
		{"recording: {path: calls}", Recording{Path: "calls", Keep: 30 * day, Formats: []string{"wav"}, MaxSize: 1e9}},
		{
			"recording: {path: /var/x, keep: 12h, format: [pcapng, wav], max_size: 4GB}",
			Recording{Path: "/var/x", Keep: 12 * time.Hour, Formats: []string{"pcapng", "wav"}, MaxSize: 4e9},
		},
		{"recording: {path: calls, max_size: 1MB}", Recording{Path: "calls", Keep: 30 * day, Formats: []string{"wav"}, MaxSize: 1e6}},
	} {
		c, err := Parse("test.yaml", []byte(tt.yaml), testEnv)
		if err != nil {
			t.Errorf("%s: %v", tt.yaml, err)
			continue
		}
		if got := c.Recording; got.Path != tt.want.Path || got.Keep != tt.want.Keep || got.MaxSize != tt.want.MaxSize ||
			!slices.Equal(got.Formats, tt.want.Formats) {
			t.Errorf("%s: got %+v; want %+v", tt.yaml, got, tt.want)
		}
	}
	for _, size := range []string{"", "0MB", "5GB", "1", "1.5GB", "1gb", "99999MB", "-1MB", "1 GB"} {
		if n, c := parseSize(size); c.none() {
			t.Errorf("%q is %d bytes", size, n)
		}
	}
}
