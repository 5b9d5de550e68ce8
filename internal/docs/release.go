package docs

import (
	"strings"

	"flowbridge"
)

// LastRelease returns the newest version with a heading in CHANGELOG.md, or "" if none is released.
func LastRelease() string { return newestHeading(flowbridge.Changelog) }

func newestHeading(changelog string) string {
	_, rest, _ := strings.Cut(changelog, "\n## [")
	version, _, _ := strings.Cut(rest, "]")
	return version
}
