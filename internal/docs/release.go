package docs

import (
	"strings"

	"flowbridge"
)

// LastRelease returns the newest version that has a heading in CHANGELOG.md. It returns "" if there
// is no release.
func LastRelease() string { return newestHeading(flowbridge.Changelog) }

func newestHeading(changelog string) string {
	_, rest, _ := strings.Cut(changelog, "\n## [")
	version, _, _ := strings.Cut(rest, "]")
	return version
}
