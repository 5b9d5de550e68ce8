//go:build e2e

package e2e

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestManPages formats every page. A complaint of troff about a page is an error.
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
	// man itself would take a third of a second for each page.
	for _, cmd := range []*exec.Cmd{
		exec.CommandContext(t.Context(), "groff", append([]string{"-K", "utf8", "-t", "-man", "-T", "utf8", "-ww"}, pages...)...),
		exec.CommandContext(t.Context(), "man", "--warnings", "-E", "UTF-8", "-l", pages[0]),
	} {
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil || errs.Len() > 0 || out.Len() < 200*max(1, len(cmd.Args)-8) {
			t.Errorf("%s: %v, %d bytes\n%s", cmd.Args[0], err, out.Len(), errs.Bytes())
		}
	}
}
