package main

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/operate"
	"flowbridge/cmd/flowbridge/scenario"
	"flowbridge/config"
	"flowbridge/media/recording"
)

// firstTest is a file to begin with.
//
//go:embed test.yaml
var firstTest string

// agentTest is the test that the command line describes.
type agentTest struct {
	scenario.Calls

	baseline, junit  string
	undecided        string // pass, fail, or empty: an exit code of its own
	asJSON           bool
	config           string // the file
	caller           string // id of a recorded call; empty: the steps of the file
	keepPauses, asks bool   // asks: the archive's server is named
	archive          *operate.Archive
	identities       []age.Identity // decrypt the recording
}

// maxRepeat and maxParallel bound the calls of a test.
const maxRepeat, maxParallel = 1000, 50

func testCommand() *cobra.Command {
	c := cli.Command("test [FILE]", "Hold a conversation with an agent, and judge what the caller hears",
		"Call an agent, wait, speak and interrupt as the file says, and compare what the caller hears with what it expects. The\n"+
			"agent is a target of the configuration, called as a server does, or a SIP URI. With --server a running server is\n"+
			"called instead. With --caller a recorded caller speaks.\n"+
			"The exit code is 1 if an expectation is missed, 2 for a mistake in the command, the file or the recording, and 3 if all\n"+
			"that is wrong is an undecided expectation.",
		"  flowbridge test --init retell > agent.yaml\n"+
			"  flowbridge test agent.yaml --repeat 20 --parallel 4 --json > today.json\n"+
			"  flowbridge test agent.yaml --repeat 20 --baseline yesterday.json --junit report.xml\n"+
			"  flowbridge test agent.yaml --caller 01a21a99-2a8f-7737-ba25-9e1253286d8a\n"+
			"  flowbridge test agent.yaml --server 127.0.0.1:5060 --api http://127.0.0.1:8080 --out failed")
	o, first := agentTest{archive: operate.ArchiveFlags(c)}, ""
	f := c.Flags()
	cli.ConfigFlagTo(c, &o.config, "configuration with the target")
	f.StringVar(&o.Server, "server", "", "host and port of a running Flowbridge that is called")
	f.StringVar(&o.Out, "out", "", "directory for recordings, and for ladders and capsules of failed calls")
	f.IntVar(&o.Repeat, "repeat", 1, "how many calls")
	f.IntVar(&o.Parallel, "parallel", 1, "how many of them at once")
	f.StringVar(&o.baseline, "baseline", "", "JSON of an earlier test, to see what is worse beyond chance")
	f.StringVar(&o.junit, "junit", "", "file to write the expectations to, as JUnit's XML")
	f.StringVar(&o.undecided, "undecided", "", "undecided expectations pass (exit code 0) or fail (1), instead of 3: pass or fail")
	f.StringVar(&first, "init", "", "print a first file for this target, or for a SIP URI, and call nobody")
	f.BoolVar(&o.asJSON, "json", false, "print JSON instead of text")
	f.StringVar(&o.caller, "caller", "", "id of a recorded call of the server, whose caller speaks in place of the steps")
	identity := identityFlag(c)
	f.BoolVar(&o.keepPauses, "keep-pauses", false, "the caller of --caller does not wait for the agent, but speaks when it did")
	cli.CompleteNames(c, "init", "targets", &o.config)
	cli.CompleteWords(c, "undecided", []string{"pass", "fail"})
	c.Args = cli.Args(cobra.MaximumNArgs(1))
	c.RunE = func(c *cobra.Command, args []string) error {
		ctx, stop := cli.Interruptible(c.Context())
		defer stop()
		o.asks = f.Changed("api")
		o.Config = func() (*config.Config, error) { return config.Load(o.config) }
		switch {
		case strings.HasPrefix(first, "sip:"):
			first = fmt.Sprintf("to: %q", first)
		case first != "":
			if !slices.Contains(config.Names(o.config, "targets"), first) {
				return cli.Usage("--init %q is no target of the configuration, and no URI like sip:agent@127.0.0.1:5070", first)
			}
			first = fmt.Sprintf("target: %q", first)
		case len(args) == 0:
			return cli.Usage("name the file of the test; flowbridge test --init TARGET writes a first one")
		default:
			if err := o.checkFlags(f.Changed); err != nil {
				return err
			}
			if *identity != "" {
				var err error
				if o.identities, err = identitiesOf(*identity); err != nil {
					return err
				}
			}
			return o.run(ctx, c.OutOrStdout(), c.ErrOrStderr(), args[0])
		}
		_, err := fmt.Fprintf(c.OutOrStdout(), firstTest, first)
		return err
	}
	return c
}

// checkFlags returns the mistake in the flags of a test, if there is one. changed reports whether a flag was given.
func (o *agentTest) checkFlags(changed func(flag string) bool) error {
	switch {
	case o.Repeat < 1 || o.Repeat > maxRepeat || o.Parallel < 1 || o.Parallel > maxParallel:
		return cli.Usage("--repeat is 1 to %d calls, and --parallel 1 to %d of them at once", maxRepeat, maxParallel)
	case changed("undecided") && o.undecided != "pass" && o.undecided != "fail":
		return cli.Usage("--undecided is pass or fail")
	case o.asks && o.caller == "" && (o.Out == "" || o.Server == ""):
		return cli.Usage("--api is for calls of --server, and --out names the directory for their capsules; or for --caller")
	case changed("caller") && o.caller == "":
		return cli.Usage("--caller has no id; take one from flowbridge cdr list")
	case o.caller == "" && (o.keepPauses || changed("identity")):
		return cli.Usage("--keep-pauses and --identity are for --caller")
	}
	return nil
}

// decrypted returns a file of the recording as plain WAV.
func (o *agentTest) decrypted(name string, file []byte) ([]byte, error) {
	if path.Ext(name) != ".age" {
		return file, nil
	}
	if o.identities == nil {
		return nil, cli.Usage("the recording is encrypted: name the file with the secret key in --identity")
	}
	var plain bytes.Buffer
	_, err := recording.Decrypt(&plain, bytes.NewReader(file), o.identities...)
	return plain.Bytes(), err
}

func (o *agentTest) run(ctx context.Context, w, errs io.Writer, file string) error {
	data, err := cli.ReadFile(file)
	if err != nil {
		return cli.Usage("%w", err)
	}
	var replaced []string
	if o.caller != "" {
		replaced = []string{"steps", "sounds"}
	}
	t, err := config.ParseConversation(file, data, replaced...)
	if err != nil {
		return err
	}
	if o.caller != "" {
		parts, err := o.archive.Recording(ctx, o.config, o.caller, o.decrypted)
		if err == nil {
			err = scenario.Replay(t, parts, o.keepPauses)
		}
		if err != nil {
			return fmt.Errorf("--caller %s: %w", o.caller, err)
		}
	}
	if o.asks && o.Server != "" && o.Out != "" {
		o.Capsule = o.archive.Capsule
	}
	before, err := o.earlier()
	if err != nil {
		return err
	}
	var junit *os.File
	if o.junit != "" { // no call is paid for before its report can be written
		if junit, err = os.Create(o.junit); err != nil {
			return cli.Usage("--junit: %w", err)
		}
	}
	text := w
	if o.asJSON {
		text = io.Discard
	}
	o.Each = func(r *scenario.Run) {
		if o.Repeat == 1 {
			r.Draw(text, cli.Width(text))
		}
		fmt.Fprintln(text, r)
	}
	began := time.Now()
	runs, failed := o.Place(ctx, t)
	if runs == nil {
		return failed
	}
	result, verdict := scenario.NewResult(t, runs, before)
	if err = result.Table(text); o.asJSON {
		err = cli.PrintJSON(w, result)
	}
	if junit != nil {
		err = errors.Join(err, result.JUnit(junit, file, time.Since(began), o.undecided == "fail"), junit.Close())
	}
	if err = errors.Join(err, failed); err != nil {
		return errors.Join(err, verdict)
	}
	return o.settle(errs, verdict)
}

// earlier reads the test that is compared with. It returns nil if there is none.
func (o *agentTest) earlier() (*scenario.Result, error) {
	if o.baseline == "" {
		return nil, nil //nolint:nilnil // there is none, and that is no error
	}
	data, err := os.ReadFile(o.baseline)
	if err != nil {
		return nil, cli.Usage("--baseline: %w", err)
	}
	before, err := scenario.Baseline(data)
	if err != nil {
		return nil, cli.Usage("--baseline %s: it is not the JSON of an earlier test: %w", o.baseline, err)
	}
	return before, nil
}

// settle returns the error for a verdict: one that is undecided passes or fails as ordered.
func (o *agentTest) settle(errs io.Writer, verdict error) error {
	if o.undecided == "" || cli.ExitCode(verdict) != cli.ExitUndecided {
		return verdict
	}
	if o.undecided == "pass" {
		fmt.Fprintln(errs, "flowbridge:", verdict)
		return nil
	}
	return errors.New(verdict.Error()) // of no kind: it failed
}
