package docs

import "testing"

// The newest heading with a version counts. The unreleased section does not.
func TestNewestHeading(t *testing.T) {
	for changelog, want := range map[string]string{
		"# Changelog\n\n## Unreleased\n\n- [x](y)\n":                                           "",
		"# Changelog\n\n## Unreleased\n\n## [1.2.0] - 2026-12-01\n\n## [1.1.0] - 2026-11-01\n": "1.2.0",
	} {
		if got := newestHeading(changelog); got != want {
			t.Errorf("%q: %q, want %q", changelog, got, want)
		}
	}
}
