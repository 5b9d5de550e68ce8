package provision

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
)

// resource is one kind of thing in accounts at a platform. All kinds have the commands create, show and delete. A kind
// has update if the platform's documents describe the change.
type resource struct {
	*connection
	use, noun string // "assistant", "agent"
	key       string // the member of lists that has the id
	idName    string // the id's name in show and delete: "MODEL_ID"
	args      cobra.PositionalArgs
	help      map[string]help // by command; "" for the group of commands

	fields []field // of create and update
	again  string  // usage text of --again; empty if names must be unique

	flags    func(c *cobra.Command)                                    // further flags of create and update; may be nil
	complete func(c *cobra.Command, a *access, body rest.Object) error // adds further flags' values and checks the body
	// change makes the change for update; nil if there is no such command.
	change  func(ctx context.Context, t things, id string, body rest.Object) (rest.Object, error)
	open    func(a access) (things, error)
	same    func(have, want rest.Object) bool     // reports whether two things have the same name
	named   func(want rest.Object) string         // describes several things of one name: `agents named "Ann"`
	label   func(o rest.Object) (what, id string) // `agent "Ann", model_id M`
	compare func(have, want rest.Object) []rest.Difference
	note    func(want, made rest.Object) string // returns a note about a new thing for the operator, or ""; may be nil

	sparse bool // lists, and the answer to create, contain only part of the object
	echoes bool // the API answers a delete with the object
}

// help is the help of a command.
type help struct{ short, long, example string }

// things are all the things of one kind in an account. Synthflow's numbers can also be found without a list.
type things interface {
	List(ctx context.Context) ([]rest.Object, error)
	Get(ctx context.Context, id string) (rest.Object, error)
	// Create returns the API's answer about the new thing. known has the ids of the existing things.
	Create(ctx context.Context, body rest.Object, known map[string]bool) (rest.Object, error)
	// Delete returns the object if the API returns it.
	Delete(ctx context.Context, id string) (rest.Object, error)
	Hide(s string) string // removes known secrets from a text
	CloseIdle()
}

// text returns a text member of an object, or "".
func text(o rest.Object, member string) string {
	s, _ := o.Text(member)
	return s
}

func sameName(a, b rest.Object) bool { return text(a, "name") == text(b, "name") }

func (r *resource) command() *cobra.Command {
	c := r.sub("", r.use)
	c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
	c.AddCommand(r.createCommand(), r.showCommand(), r.deleteCommand())
	gone := []string{"list", "attach", "update"}
	if r.change != nil {
		c.AddCommand(r.updateCommand())
		gone = gone[:2]
	}
	for _, name := range gone {
		gone := cli.Command(name, "", "", "  flowbridge "+r.kind+" "+r.use+" delete --help")
		gone.Hidden, gone.DisableFlagParsing, gone.Args = true, true, nil
		gone.RunE = func(c *cobra.Command, _ []string) error {
			return cli.Usage("there is no %s: the platform's page does that; what is not as wanted can also be deleted and created again", c.CommandPath())
		}
		c.AddCommand(gone)
	}
	return c
}

// sub returns a command with its help.
func (r *resource) sub(name, use string) *cobra.Command {
	h := r.help[name]
	c := cli.Command(use, h.short, h.long, h.example)
	if strings.HasSuffix(use, " "+r.idName) {
		c.Args = r.args
	}
	return c
}

// with opens the account and calls f.
func (r *resource) with(c *cobra.Command, a access, secrets []string, f func(things, shower) error) error {
	a.Secrets = secrets
	t, err := r.open(a)
	if err != nil {
		return err
	}
	defer t.CloseIdle()
	return sent(f(t, shower{c.OutOrStdout(), t.Hide, a.asJSON}))
}

// runs makes a command open the account and call f with the id from its argument.
func (r *resource) runs(c *cobra.Command,
	f func(ctx context.Context, t things, id string, show shower) error,
) *cobra.Command {
	c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		a, err := r.access(c)
		if err != nil {
			return err
		}
		return r.with(c, a, nil, func(t things, show shower) error { return f(c.Context(), t, strings.Join(args, ""), show) })
	}
	return c
}

func (r *resource) createCommand() *cobra.Command {
	c := r.sub("create", "create")
	again := new(bool)
	if r.again != "" {
		again = c.Flags().Bool("again", false, r.again)
	}
	return r.sends(c, func(t things, body rest.Object, _ string, show shower) error {
		return r.ensure(c, t, body, *again, show)
	})
}

func (r *resource) updateCommand() *cobra.Command {
	c := r.sub("update", "update "+r.idName)
	return r.sends(c, func(t things, body rest.Object, id string, show shower) error {
		o, err := r.change(c.Context(), t, id, body)
		if err != nil {
			return err
		}
		return show.did(wasUpdated, r.titled(id, o), id, o)
	})
}

// sends makes a command open the account and call f with the body from its flags and the id from its argument.
func (r *resource) sends(
	c *cobra.Command, f func(t things, body rest.Object, id string, show shower) error,
) *cobra.Command {
	if r.flags != nil {
		r.flags(c)
	}
	b := newBodyFlags(c, "body", r.fields)
	c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		body, secrets, err := b.read(c)
		if err != nil {
			return err
		}
		a, err := r.access(c)
		if err != nil {
			return err
		}
		if err := r.complete(c, &a, body); err != nil {
			return cli.Usage("%w", err)
		}
		return r.with(c, a, secrets, func(t things, show shower) error { return f(t, body, strings.Join(args, ""), show) })
	}
	return c
}

// ensure creates a thing unless it exists. If it exists, ensure reports how it differs from the wanted one.
func (r *resource) ensure(c *cobra.Command, t things, want rest.Object, again bool, show shower) error {
	known := map[string]bool{}
	if !r.dryRun {
		have, ids, err := r.find(c.Context(), t, want)
		if ids == nil && err != nil {
			return err
		}
		switch known = ids; {
		case again:
		case err != nil:
			return fmt.Errorf("%w; write --again for another one, or delete one of them by its id", err)
		case have != nil:
			return r.there(c, t, have, want, show)
		}
	}
	made, err := t.Create(c.Context(), want, known)
	if err != nil {
		return err
	}
	if r.note != nil {
		if note := r.note(want, made); note != "" {
			fmt.Fprintln(c.ErrOrStderr(), "note:", note)
		}
	}
	what, id := r.label(made)
	if r.sparse {
		made = nil
	}
	return show.did(wasCreated, what, id, made)
}

// find returns the one existing thing with the wanted name, or nil, and the ids of all things. If several have that
// name, it returns an error with their ids.
func (r *resource) find(ctx context.Context, t things, want rest.Object) (have rest.Object,
	ids map[string]bool, err error,
) {
	ids = map[string]bool{}
	if t, ok := t.(interface {
		Find(ctx context.Context, want rest.Object) (rest.Object, error)
	}); ok {
		if have, err = t.Find(ctx, want); err != nil {
			return nil, nil, err
		}
		return have, ids, nil
	}
	all, err := t.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	var hits []string
	for _, o := range all {
		id, _ := o.Text(r.key)
		ids[id] = true
		if r.same(o, want) {
			have, hits = o, append(hits, id)
		}
	}
	if len(hits) > 1 {
		return nil, ids, fmt.Errorf("there are %d %s: %s", len(hits), r.named(want), strings.Join(hits, ", "))
	}
	return have, ids, nil
}

// there compares an existing thing with the wanted one and reports the result.
func (r *resource) there(c *cobra.Command, t things, have, want rest.Object, show shower) error {
	what, id := r.label(have)
	if r.sparse {
		var err error
		if have, err = t.Get(c.Context(), id); err != nil {
			return err
		}
	}
	if strings.Contains(what, ", ") {
		what += ","
	}
	remedy := "change it on the platform's page, or delete it, and create it again:\n  " +
		strings.Join([]string{"flowbridge", r.kind, r.use, "delete", cli.ShellWord(id), "--yes"}, " ") + r.connection.args(c)
	return found{what, id, r.compare(have, want), remedy}.report(show)
}

func (r *resource) showCommand() *cobra.Command {
	return r.runs(r.sub("show", "show "+r.idName), func(ctx context.Context, t things, id string, show shower) error {
		o, err := t.Get(ctx, id)
		if err != nil {
			return err
		}
		return show.one(o)
	})
}

// titled returns the name of a removed thing: its label if the API has returned the object, otherwise its id.
func (r *resource) titled(id string, o rest.Object) string {
	if !r.echoes {
		return r.noun + " " + id
	}
	what, _ := r.label(o)
	return what
}

func (r *resource) deleteCommand() *cobra.Command {
	c := r.sub("delete", "delete "+r.idName)
	yes := c.Flags().Bool("yes", false, "do it")
	r.runs(c, func(ctx context.Context, t things, id string, show shower) error {
		var was rest.Object
		var err error
		if !r.echoes && !r.dryRun {
			if was, err = t.Get(ctx, id); err != nil {
				return err
			}
		}
		answer, err := t.Delete(ctx, id)
		if err != nil {
			return err
		}
		if r.echoes {
			was = answer
		}
		if err := show.did(wasDeleted, r.titled(id, was), id, was); err != nil || show.asJSON {
			return err
		}
		return show.one(was)
	})
	run := c.RunE
	c.RunE = func(c *cobra.Command, args []string) error {
		if !*yes && !r.dryRun {
			return cli.Usage("this can't be undone: write --yes if you mean it (see %s --help)", c.CommandPath())
		}
		return run(c, args)
	}
	return c
}
