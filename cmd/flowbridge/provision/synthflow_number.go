package provision

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// numberFields are the members of a number that an update can change, too.
func numberFields() []field {
	return []field{
		{"friendly-name", "friendly_name", fieldText, "name for people"},
		{"provider-name", "provider_name", fieldText, "one of " + strings.Join(synthflow.Providers(), ", ")},
		{"trunk-username", "trunk_username", fieldText, "user name by which the platform shows itself to the trunk"},
		{"trunk-pwd", "trunk_pwd", fieldSecret, "the password to it"},
		{"termination-uri", "termination_uri", fieldText, "SIP domain that the platform's own calls go to"},
		{"sip-outbound-proxy", "sip_outbound_proxy", fieldText, "proxy of the platform's own calls and of its REGISTER"},
		{"sip-auth-username", "sip_auth_username", fieldText, "user name in the answers to challenges, if it is another one"},
		{"uac-enabled", "uac_enabled", fieldBool, "have the platform REGISTER with the trunk"},
		{"uac-register-expires", "uac_register_expires", fieldNumber, "seconds between two REGISTERs, 60 to 3600"},
	}
}

func (s *synthflowCLI) numberCommand() *cobra.Command {
	c := &cobra.Command{
		Use:     "number",
		Short:   "Import, list, show, change and remove numbers",
		Example: "  flowbridge synthflow number list --workspace-id W",
		Args:    cli.Args(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(s.numberCreate(), s.numberList(), s.numberShow(), s.numberUpdate(), s.numberDelete())
	return c
}

func (s *synthflowCLI) numberCreate() *cobra.Command {
	c := &cobra.Command{
		Use:   "create",
		Short: "Import a number (POST /v2/custom-numbers), unless it is there",
		Long: "Import a number into the workspace. Where the workspace has it already, nothing is sent but the look-up; the\n" +
			"exit code is 0 if it is as it was asked for, and 1, with what differs and the command to change it, if not.",
		Example: "  flowbridge synthflow number create --workspace-id W --phone-number +15551230000 --friendly-name Reception\n" +
			"  flowbridge synthflow number create --workspace-id W --phone-number +15551230000 \\\n" +
			"      --termination-uri sip.carrier.example --trunk-username user --trunk-pwd-file trunk.pwd\n" +
			"  flowbridge synthflow number create --workspace-id W --body number.json --dry-run",
		Args: cli.Args(cobra.NoArgs),
	}
	flags := newBodyFlags(c, append([]field{{"phone-number", "phone_number", fieldText, "the number, E.164: +15551230000"}}, numberFields()...))
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		body, secrets, err := flags.read(c)
		if err != nil {
			return err
		}
		at, err := s.open(c)
		if err != nil {
			return err
		}
		if at.workspace != "" {
			body["workspace_id"] = at.workspace
		}
		if at.workspace, err = checkedNumber(body); err != nil {
			return err
		}
		account, err := s.accountAt(at, secrets)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		show := newShower(c.OutOrStdout(), account.Hide, *asJSON)
		number, _ := body.Text("phone_number")
		if number != "" && !s.dryRun {
			have, err := account.FindNumber(c.Context(), number)
			if err != nil {
				return err
			}
			if have != nil {
				return s.numberThere(c, flags, number, have, body).report(show)
			}
		}
		made, err := account.CreateNumber(c.Context(), body)
		if err != nil {
			return sent(err)
		}
		number, _ = made.Text("phone_number")
		return show.did(wasCreated, "number "+number, number, made)
	}
	return c
}

// checkedNumber says what is wrong with the body of a new number, and gives its workspace.
func checkedNumber(body rest.Object) (workspace string, err error) {
	if err := synthflow.CheckNumber(body); err != nil {
		return "", fmt.Errorf("%w: %w", cli.ErrUsage, err)
	}
	if p, given := body["provider_name"]; given {
		if name, _ := p.(string); !slices.Contains(synthflow.Providers(), name) {
			return "", fmt.Errorf("%w: provider_name %q: one of %s", cli.ErrUsage, plainText(p), strings.Join(synthflow.Providers(), ", "))
		}
	}
	workspace, _ = body.Text("workspace_id")
	return workspace, nil
}

// numberThere compares a number that is there with the one that was asked for.
func (s *synthflowCLI) numberThere(c *cobra.Command, flags *bodyFlags, number string, have, want rest.Object) found {
	x := compared("number "+number, number, synthflow.CompareNumber(have, want))
	x.update = flags.updateCommand(c, s.connection, number, x.differences)
	return x
}

func (s *synthflowCLI) numberList() *cobra.Command {
	c := &cobra.Command{
		Use:   "list",
		Short: "List the workspace's numbers (GET /v2/numbers)",
		Example: "  flowbridge synthflow number list --workspace-id W\n" +
			"  flowbridge synthflow number list --workspace-id W --is-available --json",
		Args: cli.Args(cobra.NoArgs),
	}
	available := c.Flags().Bool("is-available", false, "only numbers without an inbound agent; =false: only those with one")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		at, err := s.inWorkspace(c)
		if err != nil {
			return err
		}
		account, err := s.accountAt(at, nil)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		if !c.Flags().Changed("is-available") {
			available = nil
		}
		all, err := account.ListNumbers(c.Context(), available)
		if err != nil {
			return sent(err)
		}
		return newShower(c.OutOrStdout(), account.Hide, *asJSON).list(all, "number", "is_available", "sid")
	}
	return c
}

// numberArg wants exactly one number.
func numberArg() cobra.PositionalArgs {
	return cli.Args(func(c *cobra.Command, args []string) error {
		if err := cobra.ExactArgs(1)(c, args); err != nil {
			return fmt.Errorf("name the number, like +15551230000: %w", err)
		}
		if !isID(synthflow.Slug(args[0])) {
			return fmt.Errorf("%q is no number: write it like +15551230000", args[0])
		}
		return nil
	})
}

func (s *synthflowCLI) numberShow() *cobra.Command {
	c := &cobra.Command{
		Use:     "show NUMBER",
		Short:   "Show a number (GET /v2/numbers/{slug})",
		Example: "  flowbridge synthflow number show +15551230000 --workspace-id W --json",
		Args:    numberArg(),
	}
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		at, err := s.inWorkspace(c)
		if err != nil {
			return err
		}
		account, err := s.accountAt(at, nil)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		n, err := account.GetNumber(c.Context(), args[0])
		if err != nil {
			return sent(err)
		}
		return newShower(c.OutOrStdout(), account.Hide, *asJSON).one(n)
	}
	return c
}

func (s *synthflowCLI) numberUpdate() *cobra.Command {
	c := &cobra.Command{
		Use:   "update NUMBER",
		Short: "Change a number (PATCH /v2/numbers/{slug})",
		Example: "  flowbridge synthflow number update +15551230000 --friendly-name Reception\n" +
			"  flowbridge synthflow number update +15551230000 --trunk-pwd-env TRUNK_PWD",
		Args: numberArg(),
	}
	flags := newBodyFlags(c, append(numberFields(), field{"sip-term-uri", "sip_term_uri", fieldText, "another name of --termination-uri"}))
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		body, secrets, err := flags.read(c)
		if err != nil {
			return err
		}
		if len(body) == 0 {
			return fmt.Errorf("%w: %w", cli.ErrUsage, errNothing)
		}
		account, err := s.account(c, secrets)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		if err := account.UpdateNumber(c.Context(), args[0], body); err != nil {
			return sent(err)
		}
		return newShower(c.OutOrStdout(), account.Hide, *asJSON).did(wasUpdated, "number "+args[0], args[0], nil)
	}
	return c
}

func (s *synthflowCLI) numberDelete() *cobra.Command {
	c := &cobra.Command{
		Use:   "delete NUMBER",
		Short: "Remove a number from the workspace (DELETE /v2/numbers/{slug})",
		Long: "Remove a number from the workspace, and show what was removed. It is detached from its agents; a number that was\n" +
			"bought from the platform is cancelled, too.",
		Example: "  flowbridge synthflow number delete +15551230000 --workspace-id W --yes",
		Args:    numberArg(),
	}
	yes := c.Flags().Bool("yes", false, "do it")
	asJSON := jsonFlag(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		if !*yes && !s.dryRun {
			return errConfirm(c)
		}
		at, err := s.inWorkspace(c)
		if err != nil {
			return err
		}
		account, err := s.accountAt(at, nil)
		if err != nil {
			return err
		}
		defer account.CloseIdle()
		return s.removeNumber(c.Context(), account, args[0], newShower(c.OutOrStdout(), account.Hide, *asJSON))
	}
	return c
}

func (s *synthflowCLI) removeNumber(ctx context.Context, account *synthflow.Account, number string, show shower) error {
	var was rest.Object
	if !s.dryRun {
		var err error
		if was, err = account.GetNumber(ctx, number); err != nil {
			return err
		}
	}
	if err := account.DeleteNumber(ctx, number); err != nil {
		return sent(err)
	}
	if err := show.did(wasDeleted, "number "+number, number, was); err != nil || show.asJSON {
		return err
	}
	return show.one(was)
}
