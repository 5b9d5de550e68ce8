package siptest

import "strings"

// Archive is a golden file in the txtar form: a comment, then files that lines
// like "-- name --" begin.
type Archive struct {
	Comment string
	Files   map[string]string // by name

	names []string
}

// ParseArchive reads a golden file.
func ParseArchive(text string) Archive {
	a := Archive{Files: map[string]string{}}
	name := ""
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, "-- "); ok && strings.HasSuffix(line, " --\n") {
			name = strings.TrimSuffix(rest, " --\n")
			a.names = append(a.names, name)
			a.Files[name] = ""
			continue
		}
		if name == "" {
			a.Comment += line
			continue
		}
		a.Files[name] += line
	}
	return a
}

// Set replaces a file, or adds one at the end.
func (a *Archive) Set(name, text string) {
	if _, ok := a.Files[name]; !ok {
		a.names = append(a.names, name)
	}
	a.Files[name] = text
}

// String is the golden file as it is written.
func (a *Archive) String() string {
	var b strings.Builder
	b.WriteString(a.Comment)
	for _, n := range a.names {
		b.WriteString("-- " + n + " --\n" + a.Files[n])
	}
	return b.String()
}
