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

// The exit codes.
const (
	ExitFailed = 1
	ExitUsage  = 2
)

// errUsage marks a wrong command line: exit code 2.
var errUsage = errors.New("wrong usage")

// Usage is an error of usage.
func Usage(format string, args ...any) error {
	return fmt.Errorf("%w: %w", errUsage, fmt.Errorf(format, args...))
}

// UserAgent names this program in HTTP requests.
func UserAgent() string { return "flowbridge/" + Version() }

// Root is the command that has all others below it.
func Root() *cobra.Command {
	root := Group("flowbridge", "A SIP back-to-back user agent between carriers and voice-AI platforms", "", "")
	root.Version, root.SilenceUsage, root.SilenceErrors = Version(), true, true
	root.PersistentPreRun = func(c *cobra.Command, _ []string) { findConfig(c, packagedConfig) }
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return Usage("%w", err) })
	return root
}

// Command is a command without arguments.
func Command(use, short, long, example string) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Long: long, Example: example, Args: Args(cobra.NoArgs)}
}

// Group is a command that only has others below it.
func Group(use, short, long, example string, below ...*cobra.Command) *cobra.Command {
	c := Command(use, short, long, example)
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(below...)
	return c
}

// Run executes a command line, prints its error to errs, and gives the exit code.
func Run(ctx context.Context, root *cobra.Command, args []string, out, errs io.Writer) int {
	root.SetArgs(args)
	root.SetOut(out)
	root.SetErr(errs)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintln(errs, "flowbridge:", line)
	}
	return ExitCode(err)
}

// Interruptible is a context that SIGINT and SIGTERM end.
func Interruptible(ctx context.Context) (context.Context, context.CancelFunc) {
	return signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
}

// ExitCode is the exit code for an error.
func ExitCode(err error) int {
	var bad config.Errors
	if errors.Is(err, errUsage) || errors.As(err, &bad) {
		return ExitUsage
	}
	return ExitFailed
}

// Args turns an error about arguments into one of usage.
func Args(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if err := check(c, args); err != nil {
			return Usage("%w (see %s --help)", err, c.CommandPath())
		}
		return nil
	}
}

// DefaultConfig is the configuration file of commands that are not told another one. Where there is none, they take the
// package's.
const (
	DefaultConfig  = "flowbridge.yaml"
	packagedConfig = "/etc/flowbridge/flowbridge.yaml"
)

// orPackaged is said of --config.
const orPackaged = "; without this flag and that file, " + packagedConfig

// ConfigFlag adds --config, which most commands have.
func ConfigFlag(c *cobra.Command) *string {
	file := ""
	ConfigFlagTo(c, &file, "configuration file; - for standard input")
	return &file
}

// ConfigFlagTo is ConfigFlag of a command that has another use for the file.
func ConfigFlagTo(c *cobra.Command, file *string, usage string) {
	c.Flags().StringVarP(file, "config", "c", DefaultConfig, usage+orPackaged)
}

// findConfig has a command that was not told of a configuration take the package's, if there is none where it runs.
func findConfig(c *cobra.Command, packaged string) {
	f := c.Flags().Lookup("config")
	if f == nil || f.Changed || f.DefValue != DefaultConfig {
		return
	}
	if _, err := os.Stat(DefaultConfig); !errors.Is(err, fs.ErrNotExist) {
		return
	}
	if _, err := os.Stat(packaged); err == nil {
		_ = f.Value.Set(packaged) // any text is one
	}
}

// CompleteWords has a shell complete a flag by words.
func CompleteWords(c *cobra.Command, flag string, words []string) {
	// The only error is that the flag does not exist.
	_ = c.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(words, cobra.ShellCompDirectiveNoFileComp))
}

// CompleteNames has a shell complete a flag by the names in a section of the configuration file, trunks or targets.
func CompleteNames(c *cobra.Command, flag, section string, file *string) {
	_ = c.RegisterFlagCompletionFunc(flag, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return config.Names(*file, section), cobra.ShellCompDirectiveNoFileComp
	})
}

// OrDash is a text as it is shown in a table; "-" where there is none.
func OrDash(s string) string { return cmp.Or(Shown(s), "-") }

// OrNone is a value as it is shown in a table; "-" where there is none.
func OrNone[T any](v *T, show func(T) string) string {
	if v == nil {
		return "-"
	}
	return show(*v)
}

// Table writes columns, which are separated by tabs in what it is given.
func Table(w io.Writer) *tabwriter.Writer { return tabwriter.NewWriter(w, 0, 0, 2, ' ', 0) }

// PrintJSON prints a value with indentation and without escaping <, > and &.
func PrintJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
