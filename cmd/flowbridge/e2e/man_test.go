//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestManPages has man show every page; a page that troff complains about is an error.
func TestManPages(t *testing.T) {
	runIn(t, cores)
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), program, "man", dir).CombinedOutput(); err != nil {
		t.Fatalf("flowbridge man: %v\n%s", err, out)
	}
	pages, err := filepath.Glob(filepath.Join(dir, "flowbridge*.[15]"))
	if err != nil || len(pages) < 40 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		cmd := exec.CommandContext(t.Context(), "man", "--warnings", "-E", "UTF-8", "-l", page)
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil || errs.Len() > 0 || out.Len() < 200 {
			t.Errorf("%s: %v\n%s%s", page, err, out.Bytes(), errs.Bytes())
		}
	}
}
