package operate

import (
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/profiles"
)

func profilesCommand() *cobra.Command {
	c := cli.Command("profiles [NAME]", "List profiles of platforms, or print one to paste",
		"List the profiles of platforms, or print the one with a name. A profile is the configuration of a target, as the\n"+
			"platform documents its calls, with its version, its date and its sources. Paste it below targets, replace what is\n"+
			"in capitals, and add a route. flowbridge simulate NAME stands in for the platform: --simulated prints a whole\n"+
			"configuration for that.",
		"  flowbridge targets profiles\n  flowbridge targets profiles retell >> flowbridge.yaml\n"+
			"  flowbridge targets profiles retell --simulated > test.yaml\n  flowbridge targets profiles --json")
	asJSON := c.Flags().Bool("json", false, "as JSON")
	simulated := c.Flags().Bool("simulated", false, "with the addresses of flowbridge simulate NAME, a trunk and a route")
	c.Args = cli.Args(cobra.MaximumNArgs(1))
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return profiles.Names(), cobra.ShellCompDirectiveNoFileComp
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		all := profiles.All()
		if len(args) == 0 && *simulated {
			return cli.Usage("--simulated is for one profile: name it")
		}
		if len(args) == 0 {
			if *asJSON {
				return cli.PrintJSON(c.OutOrStdout(), map[string]any{"items": all, "next": ""})
			}
			return listProfiles(c.OutOrStdout(), all)
		}
		i := slices.IndexFunc(all, func(p profiles.Profile) bool { return p.Name == args[0] })
		if i < 0 {
			return cli.Usage("there is no profile %q: flowbridge targets profiles lists them", args[0])
		}
		if *simulated {
			all[i].YAML = all[i].SimulatedFile()
		}
		if *asJSON {
			return cli.PrintJSON(c.OutOrStdout(), all[i])
		}
		_, err := io.WriteString(c.OutOrStdout(), all[i].YAML)
		return err
	}
	return c
}

// Trunks returns the command `flowbridge trunks`.
func Trunks() *cobra.Command {
	return cli.Group("trunks", "Print the networks of carriers", "",
		"  flowbridge trunks profiles\n  flowbridge trunks profiles twilio", carriersCommand())
}

func carriersCommand() *cobra.Command {
	c := cli.Command("profiles [NAME]", "List profiles of carriers, or print one to paste",
		"List the profiles of carriers, or print the one with a name. A profile is a trunk with the networks that the carrier\n"+
			"publishes, with its version, its date and its source. Paste it below trunks; flowbridge init --carrier NAME writes it.\n"+
			"check warns if a trunk has some of a carrier's networks and lacks others.",
		"  flowbridge trunks profiles\n  flowbridge trunks profiles twilio\n  flowbridge trunks profiles --json")
	asJSON := c.Flags().Bool("json", false, "as JSON")
	c.Args = cli.Args(cobra.MaximumNArgs(1))
	c.ValidArgsFunction = func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return profiles.CarrierNames(), cobra.ShellCompDirectiveNoFileComp
	}
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return listCarriers(c.OutOrStdout(), *asJSON)
		}
		carrier, ok := profiles.CarrierNamed(args[0])
		switch {
		case !ok:
			return cli.Usage("there is no profile %q: flowbridge trunks profiles lists them", args[0])
		case *asJSON:
			return cli.PrintJSON(c.OutOrStdout(), carrier)
		}
		_, err := io.WriteString(c.OutOrStdout(), carrier.YAML)
		return err
	}
	return c
}

func listCarriers(w io.Writer, asJSON bool) error {
	all := profiles.Carriers()
	if asJSON {
		return cli.PrintJSON(w, map[string]any{"items": all, "next": ""})
	}
	shared := make([]profiles.Profile, len(all))
	for i := range all {
		shared[i] = all[i].Profile
	}
	return listProfiles(w, shared)
}

func listProfiles(w io.Writer, all []profiles.Profile) error {
	t := cli.Table(w)
	fmt.Fprintln(t, "NAME\tVERSION\tDATE\tTITLE")
	for _, p := range all {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", p.Name, p.Version, p.Date, p.Title)
	}
	return t.Flush()
}
