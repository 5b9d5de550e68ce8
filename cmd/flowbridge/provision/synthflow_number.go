package provision

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/rest"
	"flowbridge/synthflow"
)

// numbers is the resource of imported numbers.
func (s *synthflowCLI) numbers() *resource {
	return &resource{
		connection: s.connection, use: "number", noun: "number", idName: "NUMBER", args: numberArg(),
		help: map[string]help{
			"": {"Import, list, show, change and remove numbers", "", "  flowbridge synthflow number list --workspace-id W"},
			"create": {
				"Import a number (POST /v2/custom-numbers), unless it is there",
				"Import a number into the workspace. Where the workspace has it already, nothing is sent but the look-up; the\n" +
					"exit code is 0 if it is as it was asked for, and 1, with what differs and the command to change it, if not.",
				"  flowbridge synthflow number create --workspace-id W --phone-number +15551230000 --friendly-name Reception\n" +
					"  flowbridge synthflow number create --workspace-id W --phone-number +15551230000 \\\n" +
					"      --termination-uri sip.carrier.example --trunk-username user --trunk-pwd-file trunk.pwd\n" +
					"  flowbridge synthflow number create --workspace-id W --body number.json --dry-run",
			},
			"list": {"List the workspace's numbers (GET /v2/numbers)", "", "  flowbridge synthflow number list --workspace-id W\n" +
				"  flowbridge synthflow number list --workspace-id W --is-available --json"},
			"show": {"Show a number (GET /v2/numbers/{slug})", "", "  flowbridge synthflow number show +15551230000 --workspace-id W --json"},
			"update": {"Change a number (PATCH /v2/numbers/{slug})", "", "  flowbridge synthflow number update +15551230000 --friendly-name Reception\n" +
				"  flowbridge synthflow number update +15551230000 --trunk-pwd-env TRUNK_PWD"},
			"delete": {
				"Remove a number from the workspace (DELETE /v2/numbers/{slug})",
				"Remove a number from the workspace, and show what was removed. It is detached from its agents; a number that was\n" +
					"bought from the platform is cancelled, too.",
				"  flowbridge synthflow number delete +15551230000 --workspace-id W --yes",
			},
		},
		columns:      []string{"number", "is_available", "sid"},
		fields:       numberFields(),
		newFields:    []field{{"phone-number", "phone_number", fieldText, "the number, E.164: +15551230000"}},
		updateFields: []field{{"sip-term-uri", "sip_term_uri", fieldText, "another name of --termination-uri"}},
		flags: func(c *cobra.Command) {
			if c.Name() == "list" {
				c.Flags().Bool("is-available", false, "only numbers without an inbound agent; =false: only those with one")
			}
		},
		complete: func(_ *cobra.Command, a *access, body rest.Object, fresh bool) error {
			if !fresh {
				return nil
			}
			if a.workspace != "" {
				body["workspace_id"] = a.workspace
			}
			a.workspace, _ = body.Text("workspace_id")
			return checkNumber(body)
		},
		open:    s.openNumbers,
		compare: synthflow.CompareNumber,
		label: func(o rest.Object) (what, id string) {
			id, _ = o.Text("phone_number")
			return "number " + id, id
		},
	}
}

func (s *synthflowCLI) openNumbers(c *cobra.Command, a access, secrets []string) (things, error) {
	if c.Name() != "update" { // of all requests, only that one needs no workspace
		if err := needWorkspace(a); err != nil {
			return things{}, err
		}
	}
	account, err := s.account(a, secrets)
	if err != nil {
		return things{}, err
	}
	var available *bool
	if f := c.Flags().Lookup("is-available"); f != nil && f.Changed {
		only := f.Value.String() == "true"
		available = &only
	}
	return things{
		hide: account.Hide, close: account.CloseIdle, get: account.GetNumber, remove: silent(account.DeleteNumber),
		find: func(ctx context.Context, want rest.Object) (rest.Object, error) {
			number, _ := want.Text("phone_number")
			if number == "" {
				return nil, nil
			}
			have, err := account.FindNumber(ctx, number)
			if have != nil {
				have = maps.Clone(have)
				have["phone_number"] = number
			}
			return have, err
		},
		list: func(ctx context.Context) ([]rest.Object, error) { return account.ListNumbers(ctx, available) },
		create: func(ctx context.Context, body rest.Object, _ map[string]bool) (rest.Object, string, error) {
			made, err := account.CreateNumber(ctx, body)
			return made, "", err
		},
		update: func(ctx context.Context, number string, body rest.Object) (rest.Object, error) {
			return nil, account.UpdateNumber(ctx, number, body)
		},
	}, nil
}

// numberFields are the members with a flag, for create and update.
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

// checkNumber checks the body of a new number.
func checkNumber(body rest.Object) error {
	if err := synthflow.CheckNumber(body); err != nil {
		return err
	}
	if p, given := body["provider_name"]; given {
		if name, _ := p.(string); !slices.Contains(synthflow.Providers(), name) {
			return fmt.Errorf("provider_name %q: one of %s", plainText(p), strings.Join(synthflow.Providers(), ", "))
		}
	}
	return nil
}

// numberArg takes exactly one number.
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
