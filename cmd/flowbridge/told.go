package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/operate"
	"flowbridge/config"
	"flowbridge/store"
	"flowbridge/store/receipt"
)

func toldCommand() *cobra.Command {
	c := cli.Command("told [ID]", "Show and verify the receipts of what callers were told",
		"Show the receipt of a call: what its caller was told before the agent was connected. Without ID: how many\n"+
			"receipts this node has, whether they are whole, their public key, and their head, the SHA-256 of the newest\n"+
			"one. It reads the directory beside store.path, beside a running server or without one.\n"+
			"--verify reads a file of receipts, or a directory, and says whether a receipt was changed or is missing; the\n"+
			"exit code is 1 then. With a head that was kept elsewhere it also finds receipts that are missing at the end.",
		"  flowbridge told 0199f0c1-7e3b-7c54-8f2a-51e4f4c1b7aa\n"+
			"  flowbridge told\n"+
			"  flowbridge told --verify receipts/ --key NO1Bq0Hy…= --head 5f3a…")
	c.Args = cli.Args(cobra.MaximumNArgs(1))
	file := cli.ConfigFlag(c)
	f := c.Flags()
	db := f.String("db", "", "database file beside which the receipts are (default: the one that the configuration names)")
	verify := f.String("verify", "", "verify this file or directory of receipts")
	key := f.String("key", "", "the node's public key (default: the one that the receipts name)")
	head := f.String("head", "", "a head of the receipts that was kept elsewhere, as the log and told.head have it")
	asJSON := f.Bool("json", false, "print the lines of the receipts as they are signed")
	c.MarkFlagsMutuallyExclusive("db", "verify")
	c.MarkFlagsMutuallyExclusive("json", "verify")
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 1 && (*verify != "" || *key != "" || *head != "") {
			return cli.Usage("%s: --verify, --key and --head are for all receipts: leave the id out", args[0])
		}
		pub, err := publicKey(*key)
		if err != nil {
			return err
		}
		dir := *verify
		if dir == "" {
			if dir, err = receiptsDir(*file, *db); err != nil {
				return err
			}
		}
		if len(args) == 1 {
			return showReceipts(c.OutOrStdout(), dir, args[0], *asJSON)
		}
		return verifyReceipts(c.OutOrStdout(), dir, pub, strings.ToLower(*head), *asJSON)
	}
	return c
}

// publicKey reads a key as the command prints it, or returns nil for an empty text.
func publicKey(text string) (ed25519.PublicKey, error) {
	if text == "" {
		return nil, nil
	}
	key, err := base64.StdEncoding.DecodeString(text)
	if err != nil || len(key) != ed25519.PublicKeySize {
		return nil, cli.Usage("--key %s: write the 44 characters that flowbridge told prints", cli.Shown(text))
	}
	return key, nil
}

// receiptsDir returns the directory of receipts beside a database, or beside the one that a configuration names.
func receiptsDir(file, db string) (string, error) {
	if db == "" {
		cfg, err := config.LoadSections(file, "store")
		if err != nil {
			return "", err
		}
		db = cfg.Store.Path
	}
	return store.ReceiptsPath(db), nil
}

// showReceipts prints the receipts of a call.
func showReceipts(w io.Writer, dir, call string, asJSON bool) error {
	found, err := receipt.Find(dir, call)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%s has no receipt of call %s; its record says what it was told, and which node had it",
			dir, cli.Shown(call))
	}
	for i := range found {
		f := &found[i]
		if asJSON {
			fmt.Fprintf(w, "%s\n", f.Line)
			continue
		}
		signed := "by the node's key"
		if !f.Signed {
			signed = "NO: the receipt was changed; flowbridge told says where"
		}
		fmt.Fprintf(w, "receipt  %d of %s, %s\ncall     %s\ntold     %s\nsound    %s, SHA-256 %s\nsigned   %s\nSHA-256  %s\n",
			f.N, cli.OrDash(f.Node), f.At, cli.Shown(f.Call), operate.ToldLine(&f.Told), cli.OrDash(f.Told.Sound),
			cli.OrDash(f.Told.SHA256), signed, f.SHA256)
	}
	return err
}

// verifyReceipts prints what a file or directory has. The error says where it is not whole.
func verifyReceipts(w io.Writer, name string, pub ed25519.PublicKey, head string, asJSON bool) error {
	r, err := receipt.OpenReader(name)
	if err != nil {
		return err
	}
	defer func() { _ = r.Close() }() // it was only used for reading
	from := io.Reader(r)
	if asJSON {
		from = io.TeeReader(r, w)
	}
	s, err := receipt.Verify(from, pub, head)
	if err != nil {
		return fmt.Errorf("%s: receipts were changed or are missing: %w", name, err)
	}
	if asJSON {
		return nil
	}
	fmt.Fprintf(w, "%s of %s, whole", cli.Count(int(s.Receipts), "receipt"), cli.OrDash(s.Node))
	if s.Receipts > 0 {
		fmt.Fprintf(w, ": %d to %d, %s to %s", s.First, s.Last, s.From, s.To)
	}
	by := "the one that the receipts name: compare it with one that you have kept"
	kept := "not compared: give one that was kept with --head"
	if pub != nil {
		by = "as given"
	}
	if head != "" {
		kept = "the one that was given is there"
	}
	key := base64.StdEncoding.EncodeToString(s.Key)
	fmt.Fprintf(w, "\nkey   %s, %s\nhead  %s, %s\n", key, by, cli.OrDash(s.Head), kept)
	if s.Torn > 0 {
		fmt.Fprintf(w, "The last line is not whole (%d bytes), and does not count: "+
			"it is being written, or a kill has cut it off.\n", s.Torn)
	}
	return nil
}
