package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"strings"
	"syscall"

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

// DefaultConfig is the configuration file of commands that are not told another one.
const DefaultConfig = "flowbridge.yaml"

// ConfigFlag adds --config, which most commands have.
func ConfigFlag(c *cobra.Command) *string {
	return c.Flags().StringP("config", "c", DefaultConfig, "configuration file; - for standard input")
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

// PrintJSON prints a value with indentation and without escaping <, > and &.
func PrintJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}
