package cli

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/spf13/cobra"

	"flowbridge/config"
)

// Each line of an error begins with the program's name, so that it can be found in a log of several
// programs.
func TestEachLineOfAnErrorIsNamed(t *testing.T) {
	for _, tt := range []struct {
		err  error
		code int
		want string
	}{
		{config.Errors{{File: "f", Line: 1, Problem: "a"}, {File: "f", Line: 2, Problem: "b"}}, ExitUsage, "flowbridge: f:1: a\nflowbridge: f:2: b\n"},
		{errors.Join(errors.New("a"), errors.New("b")), ExitFailed, "flowbridge: a\nflowbridge: b\n"},
	} {
		root := Root()
		root.AddCommand(&cobra.Command{Use: "fail", RunE: func(*cobra.Command, []string) error { return tt.err }})
		var out, errs bytes.Buffer
		if code := Run(t.Context(), root, []string{"fail"}, &out, &errs); code != tt.code || errs.String() != tt.want {
			t.Errorf("%d, %q; want %d, %q", code, errs.String(), tt.code, tt.want)
		}
	}
}

// A command without --config uses the package's configuration if the current directory has none.
func TestPackagedConfig(t *testing.T) {
	packaged := filepath.Join(t.TempDir(), "packaged.yaml")
	for _, tt := range []struct {
		name              string
		here, there, told bool
		want              string
	}{
		{"none", false, false, false, DefaultConfig},
		{"the package's", false, true, false, packaged},
		{"one here", true, true, false, DefaultConfig},
		{"told", false, true, true, DefaultConfig},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			c := Command("test", "", "", "")
			file := ConfigFlag(c)
			for name, wanted := range map[string]bool{DefaultConfig: tt.here, packaged: tt.there} {
				_ = os.Remove(name)
				if wanted {
					if err := os.WriteFile(name, nil, 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
			if tt.told {
				if err := c.Flags().Set("config", DefaultConfig); err != nil {
					t.Fatal(err)
				}
			}
			if findConfig(c, packaged); *file != tt.want {
				t.Errorf("%s; want %s", *file, tt.want)
			}
		})
	}
}
