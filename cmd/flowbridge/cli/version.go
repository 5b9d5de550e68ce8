package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"flowbridge/internal/docs"
)

// version is set when a release is built. revision is set if the build has no git directory.
var version, revision string

// Build says what this program was built from.
type Build struct {
	Version  string `json:"version"`
	Revision string `json:"revision"` // the commit; empty if it is unknown
	Time     string `json:"time"`     // time of the commit
	Modified bool   `json:"modified"` // the source had uncommitted changes
	Go       string `json:"go"`
	Platform string `json:"platform"`
}

// BuildOf says what this program was built from.
func BuildOf() Build {
	b := Build{Revision: revision, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Revision = s.Value
			case "vcs.time":
				b.Time = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			}
		}
		b.Version = info.Main.Version
	}
	b.Version = b.versionAmong(version, b.Version, docs.LastRelease())
	return b
}

// versionAmong returns the version given to the build, the last release that contains the commit, or the module's
// version.
func (b Build) versionAmong(given, module, last string) string {
	const unnamed = "dev"
	switch {
	case given != "" && given != unnamed:
		return given
	case len(b.Revision) >= 7:
		commit := b.Revision[:7]
		if b.Modified {
			commit += "-modified"
		}
		if last != "" {
			return last + "+" + commit
		}
		return commit
	case module != "" && module != "(devel)":
		return module
	default:
		return unnamed
	}
}

// String returns the version on the first line, and its origin on the second.
func (b Build) String() string {
	from := []string{"revision unknown: built without git"}
	if b.Revision != "" {
		from = []string{"revision " + b.Revision}
		if b.Time != "" {
			from = append(from, b.Time)
		}
		if b.Modified {
			from = append(from, "modified")
		}
	}
	return fmt.Sprintf("%s\n%s, %s %s", b.Version, strings.Join(from, ", "), b.Go, b.Platform)
}

// Version returns the release, or the commit that the program was built from.
func Version() string { return BuildOf().Version }
