package siptest

import (
	"slices"

	"golang.org/x/tools/txtar"
)

// Files returns the files of a golden file by name.
func Files(a *txtar.Archive) map[string]string {
	files := map[string]string{}
	for _, f := range a.Files {
		files[f.Name] = string(f.Data)
	}
	return files
}

// SetFile replaces a file of a golden file, or adds one at the end.
func SetFile(a *txtar.Archive, name, text string) {
	i := slices.IndexFunc(a.Files, func(f txtar.File) bool { return f.Name == name })
	if i < 0 {
		i, a.Files = len(a.Files), append(a.Files, txtar.File{Name: name})
	}
	a.Files[i].Data = []byte(text)
}
