package provision

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
	"flowbridge/vapi"
)

// Vapi is `flowbridge vapi`.
func Vapi() *cobra.Command {
	c := &cobra.Command{
		Use:   "vapi",
		Short: "Set up assistants and SIP phone numbers at Vapi",
		Long: "Set up assistants and SIP phone numbers at Vapi by its API. The token, a private key, is read from a file or a\n" +
			"variable of the environment, never from the command line. Nothing is sent with --dry-run.",
		Example: "  flowbridge vapi assistant list --token-file key\n  flowbridge vapi number list --region eu",
		Args:    cli.Args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	o := newConnection(c, config.KindVapi, config.VapiRegions(), "VAPI_TOKEN")
	c.AddCommand(vapiAssistants(o).command(), vapiNumbers(o).command())
	return c
}

// vapiKind is one of the two kinds of things in an account at Vapi. Its commands are the same for both.
type vapiKind struct {
	*connection
	use, what, path string
	fields          []field // of create and update
	columns         []string
	examples        map[string]string
	longs           map[string]string
	create          func(*vapi.Account, context.Context, rest.Object, map[string]bool) (rest.Object, error)
	list            func(*vapi.Account, context.Context) ([]rest.Object, error)
	get, remove     func(*vapi.Account, context.Context, string) (rest.Object, error)
	change          func(*vapi.Account, context.Context, string, rest.Object) (rest.Object, error)
	flags           func(*cobra.Command)                                                                // further ones of create and update
	complete        func(c *cobra.Command, a access, body rest.Object, fresh bool) (rest.Object, error) // puts in what further flags say, and checks the body
	same            func(a, b rest.Object) bool                                                         // whether it is what was asked for by its name
	title           func(rest.Object) string
	row             func(rest.Object) rest.Object // what a table shows; nil: the object itself
	lacks           func(rest.Object) string      // what something new is of no use without; nil: nothing
}

func (k *vapiKind) command() *cobra.Command {
	c := &cobra.Command{
		Use:     k.use,
		Short:   fmt.Sprintf("Create, list, show, change and remove %ss", k.what),
		Example: "  flowbridge vapi " + k.use + " list",
		Args:    cli.Args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(k.createCommand(), k.listCommand(), k.showCommand(), k.updateCommand(), k.deleteCommand())
	return c
}

// one is the kind with its article.
func (k *vapiKind) one() string {
	if k.what[0] == 'a' {
		return "an " + k.what
	}
	return "a " + k.what
}

// account opens the account. secrets are those of the request to come.
func (k *vapiKind) account(a access, secrets []string) (*vapi.Account, error) {
	account, err := vapi.NewAccount(vapi.AccountOptions{
		BaseURL: a.api, Token: a.token, UserAgent: cli.UserAgent(), Secrets: secrets, Transport: a.transport,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", cli.ErrUsage, err)
	}
	return account, nil
}

// with opens the account, runs f and closes it.
func (k *vapiKind) with(c *cobra.Command, secrets []string, f func(*vapi.Account) error) error {
	a, err := k.open(c)
	if err != nil {
		return err
	}
	account, err := k.account(a, secrets)
	if err != nil {
		return err
	}
	defer account.CloseIdle()
	return f(account)
}

// body reads the body of a new thing, or of a change.
func (k *vapiKind) body(c *cobra.Command, flags *bodyFlags, fresh bool) (body rest.Object, secrets []string, err error) {
	if body, secrets, err = flags.read(c); err != nil {
		return nil, nil, err
	}
	a, err := k.open(c)
	if err != nil {
		return nil, nil, err
	}
	if body, err = k.complete(c, a, body, fresh); err != nil {
		return nil, nil, fmt.Errorf("%w: %w", cli.ErrUsage, err)
	}
	return body, secrets, nil
}

func (k *vapiKind) createCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "create",
		Short:   fmt.Sprintf("Create %s (POST %s), unless it is there", k.one(), k.path),
		Long:    k.longs["create"],
		Example: k.examples["create"],
		Args:    cli.Args(cobra.NoArgs),
	}
	flags := newBodyFlags(c, k.fields)
	if k.flags != nil {
		k.flags(c)
	}
	again := c.Flags().Bool("again", false, "create another one in any case")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		body, secrets, err := k.body(c, flags, true)
		if err != nil {
			return err
		}
		return k.with(c, secrets, func(account *vapi.Account) error {
			show := newShower(c.OutOrStdout(), account.Hide, *asJSON)
			known := map[string]bool{}
			if !k.dryRun {
				all, err := k.list(account, c.Context())
				if err != nil {
					return err
				}
				known = vapi.IDs(all)
				if have, err := k.find(all, body); !*again && (err != nil || have != nil) {
					return k.there(c, flags, show, have, body, err)
				}
			}
			made, err := k.create(account, c.Context(), body, known)
			if err != nil {
				return sent(err)
			}
			if k.lacks != nil {
				if words := k.lacks(made); words != "" {
					fmt.Fprintln(c.ErrOrStderr(), "note:", words)
				}
			}
			return k.did(show, wasCreated, made)
		})
	}
	return c
}

// find gives the one thing that is called as the one that was asked for, or nil.
func (k *vapiKind) find(all []rest.Object, body rest.Object) (rest.Object, error) {
	var hits []rest.Object
	ids := ""
	for _, o := range all {
		if k.same(o, body) {
			id, _ := o.Text("id")
			hits, ids = append(hits, o), ids+" "+id
		}
	}
	switch len(hits) {
	case 0:
		return nil, nil
	case 1:
		return hits[0], nil
	}
	return nil, fmt.Errorf("there are %d of %s:%s; write --again for another one, or change one of them by its id", len(hits), k.title(body), ids)
}

func (k *vapiKind) there(c *cobra.Command, flags *bodyFlags, show shower, have, want rest.Object, err error) error {
	if err != nil {
		return err
	}
	id, _ := have.Text("id")
	x := compared(k.title(have)+", id "+id+",", id, rest.Compare(have, want))
	x.update = flags.updateCommand(c, k.connection, id, x.differences)
	return x.report(show)
}

func (k *vapiKind) did(show shower, result string, o rest.Object) error {
	id, _ := o.Text("id")
	return show.did(result, k.title(o)+", id "+id, id, o)
}

func (k *vapiKind) listCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "list",
		Short:   fmt.Sprintf("List the %ss (GET %s)", k.what, k.path),
		Example: "  flowbridge vapi " + k.use + " list --json",
		Args:    cli.Args(cobra.NoArgs),
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		return k.with(c, nil, func(account *vapi.Account) error {
			all, err := k.list(account, c.Context())
			if err != nil {
				return sent(err)
			}
			if k.row != nil && !*asJSON {
				for i, o := range all {
					all[i] = k.row(o)
				}
			}
			return newShower(c.OutOrStdout(), account.Hide, *asJSON).list(all, k.columns...)
		})
	}
	return c
}

func (k *vapiKind) showCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "show ID",
		Short:   fmt.Sprintf("Show %s (GET %s/{id})", k.one(), k.path),
		Example: "  flowbridge vapi " + k.use + " show 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --json",
		Args:    idArg(k.what),
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return k.with(c, nil, func(account *vapi.Account) error {
			o, err := k.get(account, c.Context(), args[0])
			if err != nil {
				return sent(err)
			}
			return newShower(c.OutOrStdout(), account.Hide, *asJSON).one(o)
		})
	}
	return c
}

func (k *vapiKind) updateCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "update ID",
		Short:   fmt.Sprintf("Change %s (PATCH %s/{id})", k.one(), k.path),
		Long:    k.longs["update"],
		Example: k.examples["update"],
		Args:    idArg(k.what),
	}
	flags := newBodyFlags(c, k.fields)
	if k.flags != nil {
		k.flags(c)
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		body, secrets, err := k.body(c, flags, false)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return fmt.Errorf("%w: %w", cli.ErrUsage, errNothing)
		}
		return k.with(c, secrets, func(account *vapi.Account) error {
			o, err := k.change(account, c.Context(), args[0], body)
			if err != nil {
				return sent(err)
			}
			return k.did(newShower(c.OutOrStdout(), account.Hide, *asJSON), wasUpdated, o)
		})
	}
	return c
}

func (k *vapiKind) deleteCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "delete ID",
		Short:   fmt.Sprintf("Remove %s (DELETE %s/{id}), and show what was removed", k.one(), k.path),
		Example: "  flowbridge vapi " + k.use + " delete 5e0f4c1e-7a53-4d3c-9a5e-0d8f6f1f2a77 --yes",
		Args:    idArg(k.what),
	}
	yes := c.Flags().Bool("yes", false, "do it")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if !*yes && !k.dryRun {
			return errConfirm(c)
		}
		return k.with(c, nil, func(account *vapi.Account) error {
			o, err := k.remove(account, c.Context(), args[0])
			if err != nil {
				return sent(err)
			}
			show := newShower(c.OutOrStdout(), account.Hide, *asJSON)
			if err := k.did(show, wasDeleted, o); err != nil || show.asJSON {
				return err
			}
			return show.one(o)
		})
	}
	return c
}
