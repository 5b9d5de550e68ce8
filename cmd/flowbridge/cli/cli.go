package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"flowbridge/config"
)

// These are the exit codes.
const (
	ExitFailed    = 1
	ExitUsage     = 2
	ExitUndecided = 3 // of flowbridge test only
)

// errUsage marks a wrong command line: exit code 2.
var errUsage = errors.New("wrong usage")

// Usage returns an error that means wrong usage.
func Usage(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, args...))
}

// undecidedError is a test without a verdict: exit code 3.
type undecidedError struct{ error }

// Undecided returns an error that means that a test has no verdict.
func Undecided(err error) error { return undecidedError{err} }

// ErrTold means that the output already says what is wrong: exit code 1, and nothing more is printed.
var ErrTold = errors.New("the output says what is wrong")

// UserAgent returns this program's name for HTTP requests.
func UserAgent() string { return "flowbridge/" + Version() }

// Root returns the root command.
func Root() *cobra.Command {
	root := Group("flowbridge", "A SIP back-to-back user agent between carriers and voice-AI platforms", "", "")
	root.Version, root.SilenceUsage, root.SilenceErrors = Version(), true, true
	root.PersistentPreRun = func(c *cobra.Command, _ []string) { findConfig(c, packagedConfig) }
	root.SetFlagErrorFunc(flagError)
	return root
}

// Command returns a command without arguments.
func Command(use, short, long, example string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: Args(cobra.NoArgs)}
}

// Group returns a command that only has subcommands.
func Group(use, short, long, example string, below ...*cobra.Command) *cobra.Command {
	c := Command(use, short, long, example)
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(below...)
	return c
}

// Run executes a command line, prints its error to errs, and returns the exit code.
func Run(ctx context.Context, root *cobra.Command, args []string, out, errs io.Writer) int {
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	err := misplaced(root, args)
	if err == nil {
		err = root.ExecuteContext(ctx)
	}
	switch {
	case err == nil:
		return 0
	case errors.Is(err, ErrTold):
		return ExitFailed
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(errs, "flowbridge:", line)
	}
	return ExitCode(err)
}

// Interruptible returns a context that ends on SIGINT and SIGTERM.
func Interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// ExitCode returns the exit code for an error.
func ExitCode(err error) int {
	var bad config.Errors
	if _, is := err.(undecidedError); is { //nolint:errorlint // joined with another error, it is a failure
		return ExitUndecided
	} else if errors.Is(err, errUsage) || errors.As(err, &bad) {
		return ExitUsage
	}
	return ExitFailed
}

// DefaultConfig is the configuration file of commands without --config. If it does not exist, they use the file of
// the installed package.
const (
	DefaultConfig  = "flowbridge.yaml"
	packagedConfig = "/etc/flowbridge/flowbridge.yaml"
)

// orPackaged ends the help text of --config.
const orPackaged = "; without this flag and that file, " + packagedConfig

// ConfigFlag adds --config, which most commands have.
func ConfigFlag(c *cobra.Command) *string {
	file := ""
	ConfigFlagTo(c, &file, "configuration file; - for standard input")
	return &file
}

// ConfigFlagTo is like ConfigFlag, for a command that uses the file in another way.
func ConfigFlagTo(c *cobra.Command, file *string, usage string) {
	c.Flags().StringVarP(file, "config", "c", DefaultConfig, usage+orPackaged)
}

// findConfig makes a command without --config use the package's file if there is none in the working directory.
func findConfig(c *cobra.Command, packaged string) {
	f := c.Flags().Lookup("config")
	if f == nil || f.Changed || f.DefValue != DefaultConfig {
		return
	}
	if _, err := os.Stat(DefaultConfig); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if _, err := os.Stat(packaged); err == nil {
		_ = f.Value.Set(packaged) // any text is valid
	}
}

// CompleteWords makes the shell complete a flag with words.
func CompleteWords(c *cobra.Command, flag string, words []string) {
	// An error would mean that the flag does not exist.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// CompleteNames makes the shell complete a flag with the names in a section of the configuration: trunks or targets.
func CompleteNames(c *cobra.Command, flag, section string, file *string) {
	_ = c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return config.Names(*file, section), cobra.ShellCompDirectiveNoFileComp
	})
}

// OrDash returns a text for a table, or "-" if it is empty.
func OrDash(s string) string { return cmp.Or(Shown(s), "-") }

// OrNone returns a value for a table, or "-" if there is none.
func OrNone[T any](v *T, show func(T) string) string {
	if v == nil {
		return "-"
	}
	return show(*v)
}

// Table returns a writer that aligns columns separated by tabs.
func Table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// PrintJSON prints a value with indentation and without escaping <, > and &.
func PrintJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
