package provision

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
)

// resource is one kind of thing in accounts at a platform. All kinds have the commands create, show and delete. A kind
// has update if the platform's documents describe the change.
type resource struct {
	*connection
	use, noun   string // "assistant", "agent"
	key, name   string // members of an object: its id, and the name by which it is found
	idName      string // the id's name in show and delete: "MODEL_ID"
	title, many string // formats: "agent %q, model_id %s" of name and id, "agents named %q" of the name
	args        cobra.PositionalArgs
	help        map[string]help // by command; "" for the group of commands

	fields []field // of create and update
	again  string  // usage text of --again; empty if names must be unique

	flags    func(c *cobra.Command)                                    // further flags of create and update; may be nil
	complete func(c *cobra.Command, a *access, body rest.Object) error // adds further flags' values and checks the body
	open     func(a access) (things, error)
	same     func(a, b string) bool // reports whether two names are the same; nil: if they are equal
	compare  func(have, want rest.Object) []rest.Difference
	note     func(want, made rest.Object) string // returns a note about a new thing for the operator, or ""; may be nil

	sparse bool // lists, and the answer to create, contain only part of the object
}

// help is the help of a command.
type help struct{ short, long, example string }

// things are all the things of one kind in an account.
type things interface {
	List(ctx context.Context) ([]rest.Object, error)
	Get(ctx context.Context, id string) (rest.Object, error)
	// Create returns the API's answer about the new thing. known has the ids of the existing things.
	Create(ctx context.Context, body rest.Object, known map[string]bool) (rest.Object, error)
	Delete(ctx context.Context, id string) error
	Hide(s string) string // removes known secrets from a text
	CloseIdle()
}

// text returns a text member of an object, or "".
func text(o rest.Object, member string) string {
	s, _ := o.Text(member)
	return s
}

func (r *resource) command() *cobra.Command {
	h := r.help[""]
	c := cli.Group(r.use, h.short, h.long, h.example, r.createCommand(), r.verb("show", (*step).print), r.deleteCommand())
	gone := []string{"list", "attach", "update"}
	if _, changes := r.help["update"]; changes {
		c.AddCommand(r.verb("update", (*step).update))
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

// verb returns a command that opens the account and calls f with the thing that arguments and flags describe.
func (r *resource) verb(name string, f func(s *step, c *cobra.Command) error) *cobra.Command {
	h := r.help[name]
	c := cli.Command(name, h.short, h.long, h.example)
	if name != "create" {
		c.Use, c.Args = name+" "+r.idName, r.args
	}
	read := func(*cobra.Command) (want rest.Object, secrets []string, err error) { return nil, nil, nil }
	if name == "create" || name == "update" {
		if r.flags != nil {
			r.flags(c)
		}
		read = newBodyFlags(c, "body", r.fields).read
	}
	c.Flags().Bool("json", false, "print JSON")
	c.RunE = func(c *cobra.Command, args []string) error {
		want, secrets, err := read(c)
		if err != nil {
			return err
		}
		a, err := r.access(c)
		if err != nil {
			return err
		}
		if want != nil {
			if err := r.complete(c, &a, want); err != nil {
				return cli.Usage("%w", err)
			}
		}
		a.Secrets = secrets
		t, err := r.open(a)
		if err != nil {
			return err
		}
		defer t.CloseIdle()
		show := shower{c.OutOrStdout(), t.Hide, a.asJSON}
		return sent(f(&step{resource: r, things: t, shower: show, want: want, id: strings.Join(args, "")}, c))
	}
	return c
}

func (r *resource) createCommand() *cobra.Command {
	again := new(bool)
	c := r.verb("create", func(s *step, c *cobra.Command) error {
		s.again, s.choose = *again, "write --again for another one, or delete one of them by its id"
		if !s.dryRun {
			if err := s.look(c.Context()); err != nil {
				return err
			}
		}
		return s.ensure(c)
	})
	if r.again != "" {
		c.Flags().BoolVar(again, "again", false, r.again)
	}
	return c
}

func (r *resource) deleteCommand() *cobra.Command {
	yes := new(bool)
	c := r.verb("delete", func(s *step, c *cobra.Command) error {
		if !*yes && !s.dryRun {
			return cli.Usage("this can't be undone: write --yes if you mean it (see %s --help)", c.CommandPath())
		}
		return s.remove(c)
	})
	c.Flags().BoolVar(yes, "yes", false, "do it")
	return c
}
