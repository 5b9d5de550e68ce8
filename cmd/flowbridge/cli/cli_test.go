package cli

import (
	"bytes"
	"errors"
	"testing"

	"github.com/spf13/cobra"

	"flowbridge/config"
)

// Each line of an error begins with the program's name, so that it is found in a log of several programs.
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
