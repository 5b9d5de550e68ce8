package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/media/recording"
)

func recordingsCommand() *cobra.Command {
	return cli.Group("recordings", "Decrypt recordings", "",
		"  flowbridge recordings decrypt call.wav.age --identity key.txt", decryptCommand())
}

func decryptCommand() *cobra.Command {
	c := cli.Command("decrypt FILE", "Decrypt a recording with an identity of age",
		"Decrypt a file that was recorded with recording.recipients, into a file that only you can read. Unlike age -d, it\n"+
			"writes the length of a WAV into the file, and takes what is there of a file that a killed process left without its\n"+
			"end: at most the last 64 KB are missing, two seconds of a WAV.",
		"  flowbridge recordings decrypt 01a21a99-2a8f-7737-ba25-9e1253286d8a.wav.age --identity key.txt")
	c.Args = cli.Args(cobra.ExactArgs(1))
	key := identityFlag(c)
	out := c.Flags().StringP("output", "o", "", "file to write (default: FILE without .age)")
	c.RunE = func(c *cobra.Command, args []string) error {
		name := *out
		if name == "" {
			var found bool
			if name, found = strings.CutSuffix(args[0], ".age"); !found {
				return cli.Usage("%s does not end in .age: name the file to write with --output", args[0])
			}
		}
		identities, err := identitiesOf(*key)
		if err != nil {
			return err
		}
		whole, err := decrypt(args[0], name, identities)
		if err != nil {
			return fmt.Errorf("%s: %w", args[0], err)
		}
		state := ""
		if !whole {
			state = "; its end is missing: the process that wrote it was killed, or its disk was full"
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s%s\n", name, state)
		return err
	}
	return c
}

// identityFlag adds the flag that names the file of identities.
func identityFlag(c *cobra.Command) *string {
	return c.Flags().String("identity", "", "file with the secret key that age-keygen has written")
}

func identitiesOf(name string) ([]age.Identity, error) {
	if name == "" {
		return nil, cli.Usage("--identity names the file with the secret key that age-keygen has written")
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, cli.Usage("--identity: %w", err)
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	identities, err := age.ParseIdentities(f)
	if err != nil {
		return nil, cli.Usage("--identity %s: it is no file of age-keygen, or protected by a passphrase: take that off with age -d", name)
	}
	return identities, nil
}

// decrypt writes a recording to a new file. It reports false if the recording's end is missing.
func decrypt(from, to string, identities []age.Identity) (whole bool, err error) {
	in, err := os.Open(from)
	if err != nil {
		return false, err
	}
	defer func() { _ = in.Close() }() // it was only used for reading
	out, err := os.OpenFile(to, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return false, cli.Usage("%s exists: name another file with --output, or remove it", to)
	}
	if err != nil {
		return false, err
	}
	whole, err = recording.Decrypt(out, in, identities...)
	if err == nil {
		var usable bool
		if usable, err = recording.Complete(out); err == nil && !usable {
			err = errors.New("it holds no sample and no packet")
		}
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return false, errors.Join(err, os.Remove(to))
	}
	return whole, nil
}
