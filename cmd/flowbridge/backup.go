package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/store"
)

// backupRun reads or writes a backup. secret is the passphrase, or "".
type backupRun func(ctx context.Context, file, secret string, cfg *config.Config) error

// ofBackup makes a command run with a backup's file.
func ofBackup(c *cobra.Command, run backupRun) *cobra.Command {
	c.Args = cli.Args(cobra.ExactArgs(1))
	file := cli.ConfigFlag(c)
	passphrase := c.Flags().String("passphrase-file", "", "file with the passphrase, in one line without spaces")
	c.RunE = func(c *cobra.Command, args []string) error {
		if args[0] == "-" {
			return cli.Usage("- is no file: a backup is whole only once it has its name; write it to a file")
		}
		var secret config.Secret
		cfg, err := config.LoadSections(*file, "store", "recording")
		if err == nil && *passphrase != "" {
			if secret, err = config.ReadSecret(*passphrase); err != nil || secret == "" {
				return cli.Usage("--passphrase-file: %w", err)
			}
		}
		if err != nil {
			return err
		}
		ctx, stop := cli.Interruptible(c.Context())
		defer stop()
		return run(ctx, args[0], secret.Reveal(), cfg)
	}
	return c
}

// saved says what a backup has.
func saved(s store.Saved) string {
	return fmt.Sprintf("%d calls and %d recordings of node %s", s.Calls, s.Recordings, cli.OrDash(s.Node))
}

func backupCommand() *cobra.Command {
	c := cli.Command("backup FILE", "Back up the database, with its key, into one file",
		"Write the records, the signalling key and the ladders into one file that only you can read, while the server runs.\n"+
			"The records are those of one moment; ladders and recordings are copied after them. A call that is live then comes\n"+
			"into a later backup. With a passphrase, the file is encrypted as age does it (age-encryption.org), around a tar.gz.\n"+
			"Without one, it is as secret as the database. The configuration, the secrets and certificates that it names, and the\n"+
			"journal are not in it.",
		"  flowbridge backup /var/backups/flowbridge.backup\n"+
			"  flowbridge backup --recordings --passphrase-file /root/backup.pass /mnt/flowbridge.backup")
	with := c.Flags().Bool("recordings", false, "with the recordings of recording.path")
	return ofBackup(c, func(ctx context.Context, file, secret string, cfg *config.Config) error {
		recordings := ""
		if *with {
			if recordings = cfg.Recording.Path; recordings == "" {
				return cli.Usage("--recordings: the configuration has no recording.path")
			}
		}
		made, err := writeBackup(ctx, file, secret, cfg.Store.Path, recordings)
		if err != nil {
			return err
		}
		state := "not encrypted: as secret as the database"
		if secret != "" {
			state = "encrypted"
		}
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s: %s; %s\n", file, saved(made), state)
		return err
	})
}

// writeBackup writes a file that gets its name once it is whole.
func writeBackup(ctx context.Context, name, secret, db, recordings string) (made store.Saved, err error) {
	if _, err := os.Lstat(name); err == nil {
		return made, fmt.Errorf("%s exists: name another file, or remove it", name)
	}
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return made, fmt.Errorf("%w; is another backup being written? If not, remove what is left of one", err)
	}
	to, finish := io.Writer(f), f.Sync
	if secret != "" {
		var sealed io.WriteCloser
		var recipient *age.ScryptRecipient
		if recipient, err = age.NewScryptRecipient(secret); err == nil {
			sealed, err = age.Encrypt(f, recipient)
		}
		to, finish = sealed, func() error { return errors.Join(sealed.Close(), f.Sync()) }
	}
	if err == nil {
		made, err = store.Backup(ctx, to, db, recordings)
	}
	if err == nil {
		err = finish()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		err = errors.Join(err, os.Remove(f.Name()))
	}
	return made, err
}

func restoreCommand() *cobra.Command {
	c := cli.Command("restore FILE", "Restore a backup, before the server starts",
		"Write a backup to store.path and its recordings to recording.path. It refuses a path that a server uses, and\n"+
			"overwrites nothing. The backup is read to its end and checked before a file gets its name. As root, it gives the\n"+
			"files to the owner of the directory.",
		"  flowbridge restore --config flowbridge.yaml --passphrase-file /root/backup.pass flowbridge.backup")
	return ofBackup(c, func(ctx context.Context, file, secret string, cfg *config.Config) error {
		f, err := os.OpenFile(file, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe without a writer must not block
		if err != nil {
			return err
		}
		defer context.AfterFunc(ctx, func() { _ = f.Close() })() // ends the reading
		defer func() { _ = f.Close() }()                         // it was only used for reading
		from := io.Reader(f)
		if secret != "" {
			identity, err := age.NewScryptIdentity(secret)
			if err == nil {
				identity.SetMaxWorkFactor(19) // 512 MB of memory
				from, err = age.Decrypt(f, identity)
			}
			if err != nil {
				return fmt.Errorf("%s: the passphrase is wrong, or it is damaged or not encrypted (%w)", file, err)
			}
		}
		made, err := store.Restore(ctx, from, cfg.Store.Path, cfg.Recording.Path)
		if err = errors.Join(ctx.Err(), err); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		host, _ := os.Hostname() // for people
		_, err = fmt.Fprintf(c.OutOrStdout(), `%s: %s, as of %s
The records keep the name of their node. New calls get the name in fleet.node, or without it the host's, %s.
The key is the old node's: in a fleet this node is that one, so never start both. What waited then for webhooks or a
fleet is sent again, under the same ids. What was erased since is here again: erase it again.
`, cfg.Store.Path, saved(made), made.At.UTC().Format(time.RFC3339), host)
		return err
	})
}
