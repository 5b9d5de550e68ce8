package config

import "testing"

func TestDSCP(t *testing.T) {
	for text, want := range map[string]uint8{"ef": 46, "EF": 46, "cs3": 24, "af41": 34, "0": 0, "46": 46, "63": 63} {
		cfg, err := Parse("f.yaml", []byte("media: {dscp: "+text+"}"), testEnv)
		if err != nil || cfg.Media.DSCP != want {
			t.Errorf("%s: got %v, %v; want %d", text, cfg, err, want)
		}
	}
}
