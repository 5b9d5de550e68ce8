package provision

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/rest"
)

// connection holds the flags for reaching an account.
type connection struct {
	kind    string // kind of target
	regions []config.Region
	flags   *pflag.FlagSet

	region, api, tokenFile, tokenEnv string
	workspace                        string // Synthflow only
	file, target                     string
	dryRun                           bool
}

// access says how to reach an account.
type access struct {
	rest.Options
	workspace string
	region    config.Region // zero if the API's region is unknown
	asJSON    bool          // how results are printed
}

// newConnection adds the flags of a connection to all commands below c.
func newConnection(c *cobra.Command, kind string, regions []config.Region, tokenEnv string) *connection {
	f := c.PersistentFlags()
	o := &connection{kind: kind, regions: regions, flags: f}
	f.StringVar(&o.region, "region", regions[0].Name,
		"region of the account: "+strings.Join(config.RegionNames(regions), ", "))
	f.StringVar(&o.api, "api", "", "base URL of the API (default: that of the region)")
	f.StringVar(&o.tokenFile, "token-file", "", "file with the bearer token, chmod 600")
	f.StringVar(&o.tokenEnv, "token-env", tokenEnv, "environment variable with the bearer token")
	f.StringVar(&o.target, "target", "", "take API, token and workspace from this target of the configuration")
	f.StringVarP(&o.file, "config", "c", "flowbridge.yaml", "configuration file")
	cli.CompleteNames(c, "target", "targets", &o.file)
	f.BoolVar(&o.dryRun, "dry-run", false,
		"print the requests, secrets masked, and send nothing; with --json as {method, url, headers, body}")
	if kind == config.KindSynthflow {
		f.StringVar(&o.workspace, "workspace-id", "", "id of the workspace")
	}
	return o
}

// access reads the flags. With --dry-run it needs no token, and requests are printed instead of sent.
func (o *connection) access(c *cobra.Command) (access, error) {
	a, err := o.find(c)
	if err != nil {
		return access{}, cli.Usage("%w", err)
	}
	a.asJSON, _ = c.Flags().GetBool("json") // false for commands without the flag
	if o.dryRun {
		a.Transport = &requestPrinter{out: c.OutOrStdout(), asJSON: a.asJSON}
	}
	return a, nil
}

func (o *connection) find(c *cobra.Command) (access, error) {
	if o.target != "" {
		return o.fromTarget(c)
	}
	at := slices.IndexFunc(o.regions, func(r config.Region) bool { return r.Name == o.region })
	if at < 0 {
		return access{}, fmt.Errorf("--region %q: one of %s", o.region, strings.Join(config.RegionNames(o.regions), ", "))
	}
	a := access{region: o.regions[at], workspace: o.workspace}
	a.UserAgent, a.BaseURL = cli.UserAgent(), o.regions[at].API
	if o.api != "" {
		named := c.Flags().Changed("region")
		region, err := o.regionOfAPI(named)
		if err != nil {
			return access{}, err
		}
		a.BaseURL = o.api
		if !named {
			a.region = region
		}
	}
	token, err := o.token(c)
	a.Token = token.Reveal()
	return a, err
}

// noToken stands for the token with --dry-run.
const noToken = "none"

func (o *connection) token(c *cobra.Command) (config.Secret, error) {
	switch {
	case o.tokenFile != "" && c.Flags().Changed("token-env"):
		return "", errors.New("--token-file and --token-env exclude each other")
	case o.dryRun:
		return noToken, nil
	case o.tokenFile != "":
		token, err := config.ReadSecret(o.tokenFile)
		if err != nil {
			return "", fmt.Errorf("--token-file: %w", err)
		}
		return token, nil
	}
	token, err := config.SecretFromEnv(o.tokenEnv, os.LookupEnv)
	if err != nil {
		return "", fmt.Errorf("--token-env: %w, or write --token-file", err)
	}
	return token, nil
}

// fromTarget takes the API, token and workspace from a target of the configuration.
func (o *connection) fromTarget(c *cobra.Command) (access, error) {
	for _, flag := range []string{"region", "api", "token-file", "token-env"} {
		if c.Flags().Changed(flag) {
			return access{}, fmt.Errorf("--target and --%s exclude each other: the target says it", flag)
		}
	}
	cfg, err := config.Load(o.file)
	if err != nil {
		return access{}, err
	}
	t := cfg.Target(o.target)
	if t == nil {
		var names []string
		for i := range cfg.Targets {
			names = append(names, cfg.Targets[i].Name)
		}
		return access{}, fmt.Errorf("--target %q: %s has no such target; it has %s", o.target, o.file,
			strings.Join(names, ", "))
	}
	api, token, workspace, ok := t.Platform()
	switch {
	case t.Kind != o.kind:
		return access{}, fmt.Errorf("--target %s: is of kind %s, not %s", t.Name, t.Kind, o.kind)
	case !ok:
		return access{}, fmt.Errorf(
			"--target %s: has no section account that names API and token; write it, or --region and --token-file", t.Name)
	}
	a := access{
		Options:   rest.Options{BaseURL: api, Token: token.Reveal(), UserAgent: cli.UserAgent()},
		workspace: cmp.Or(o.workspace, workspace),
	}
	if at := slices.IndexFunc(o.regions, func(r config.Region) bool { return r.API == api }); at >= 0 {
		a.region = o.regions[at]
	}
	return a, nil
}

// args returns the connection's flags as the user wrote them, for a suggested command.
func (o *connection) args(c *cobra.Command) string {
	var b strings.Builder
	for _, flag := range []string{"region", "api", "workspace-id", "token-file", "token-env", "target", "config"} {
		if f := c.Flags().Lookup(flag); f != nil && f.Changed {
			b.WriteString(" --" + flag + " " + cli.ShellWord(f.Value.String()))
		}
	}
	return b.String()
}

// regionOfAPI returns the region of an API's host, or zero for an unknown host. It is an error if the host belongs to
// the other platform, or to a region other than --region, because an account exists in one region only.
func (o *connection) regionOfAPI(named bool) (config.Region, error) {
	err := config.CheckAPI(o.api)
	u, bad := url.Parse(o.api)
	if err = cmp.Or(err, bad); err != nil {
		return config.Region{}, fmt.Errorf("--api: %w", err)
	}
	kind, r, known := config.RegionOfHost(u.Hostname())
	switch {
	case !known:
		return config.Region{}, nil
	case kind != o.kind:
		return config.Region{}, fmt.Errorf("--api %s is an API of %s, and this command is for %s", o.api, kind, o.kind)
	case named && o.region != r.Name:
		return config.Region{}, fmt.Errorf("--api %s is of region %s, and --region is %s: write one of the two", o.api,
			r.Name, o.region)
	}
	return r, nil
}
