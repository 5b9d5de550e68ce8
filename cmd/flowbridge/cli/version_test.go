package cli

import (
	"strings"
	"testing"
)

// A release has its own version. Another build is named after the last release
// and its commit.
func TestVersion(t *testing.T) {
	const commit = "0123456789abcdef0123456789abcdef01234567"
	for _, tt := range []struct {
		given, module, last string
		b                   Build
		version, says       string
	}{
		{"v1.2.3", "v1.2.4", "", Build{Revision: commit}, "v1.2.3", "revision " + commit},
		{"dev", "(devel)", "", Build{Revision: commit, Time: "2026-11-21T08:00:00Z"}, "0123456", "revision " + commit + ", 2026-11-21T08:00:00Z, go"},
		{"", "v0.0.0-2026", "", Build{Revision: commit, Modified: true}, "0123456-modified", ", modified"},
		{"", "(devel)", "1.2.0", Build{Revision: commit}, "1.2.0+0123456", "revision " + commit},
		{"", "(devel)", "1.2.0", Build{Revision: commit, Modified: true}, "1.2.0+0123456-modified", ", modified"},
		{"", "v1.2.4", "1.2.0", Build{}, "v1.2.4", "revision unknown"},
		{"", "(devel)", "1.2.0", Build{}, "dev", "revision unknown"},
	} {
		tt.b.Go = "go1"
		if tt.b.Version = tt.b.versionAmong(tt.given, tt.module, tt.last); tt.b.Version != tt.version {
			t.Errorf("%+v: got %s", tt, tt.b.Version)
		}
		if got := tt.b.String(); !strings.HasPrefix(got, tt.version+"\n") || !strings.Contains(got, tt.says) {
			t.Errorf("%+v: got %s", tt, got)
		}
	}
}
