package provision

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/profiles"
	"flowbridge/config"
	"flowbridge/internal/local"
)

// firstConfig implements `flowbridge init`, which writes a configuration from a few answers.
type firstConfig struct {
	answers
	values   map[string]string // values of the account, by the profile's words
	secret   string            // file with the secret
	file     string
	dryRun   bool
	terminal func() bool  // reports whether a user can be asked
	own      []netip.Addr // of this machine
}

// Init returns the command `flowbridge init`.
func Init() *cobra.Command {
	own, _ := local.Addresses() // without them the default stays
	return initCommand(&firstConfig{terminal: func() bool { return isatty.IsTerminal(os.Stdin.Fd()) }, own: own})
}

func initCommand(b *firstConfig) *cobra.Command {
	c := cli.Command("init", "Write a first configuration",
		"Write a configuration with a carrier or PBX, a platform, and the route between them; then say what is still to do:\n"+
			"the firewall, the test call. What no flag says is asked for at a terminal, the secret, too, whose file only you can\n"+
			"read. A file that is there already is left alone. To fill an account at Synthflow, too, use flowbridge synthflow setup.",
		"  flowbridge init\n"+
			"  flowbridge init --trunk carrier --source 203.0.113.0/24 --country 1 --number +15075785607 \\\n"+
			"      --platform retell --set AGENT_ID=agent_4711 --config flowbridge.yaml\n"+
			"  flowbridge init --carrier twilio --platform vapi --set SIP_USER=support --advertise auto\n"+
			"  flowbridge init --trunk pbx --source 192.168.10.2 --platform vapi --set SIP_USER=support --dry-run")
	f := c.Flags()
	for _, q := range questions {
		f.String(q.flag, "", q.asks)
	}
	cli.CompleteWords(c, "trunk", []string{trunkCarrier, trunkPBX})
	cli.CompleteWords(c, "platform", profiles.Names())
	cli.CompleteWords(c, "carrier", profiles.CarrierNames())
	f.StringToStringVar(&b.values, "set", nil, "a value of your account, by the profile's word: AGENT_ID=…; repeatable")
	f.StringVar(&b.secret, "secret-file", "",
		"file with the platform's token or password (default PLATFORM.secret beside the configuration)")
	f.StringVarP(&b.file, "config", "c", cli.DefaultConfig, "configuration file")
	f.BoolVar(&b.dryRun, "dry-run", false, "print the configuration, and write nothing")
	c.RunE = func(c *cobra.Command, _ []string) error { return b.run(c) }
	return c
}

func (b *firstConfig) run(c *cobra.Command) error {
	file, err := openSetupFile(b.file)
	if err != nil {
		return err
	}
	if !isBlank(file.old) {
		return cli.Usage("%s is there already: name another file by --config; flowbridge synthflow setup adds to one", b.file)
	}
	if b.values == nil {
		b.values = map[string]string{}
	}
	in := bufio.NewReader(io.LimitReader(c.InOrStdin(), 64<<10))
	if b.answers, err = ask(c, in, b.terminal(), b.own, b.values); err != nil {
		return err
	}
	beside := filepath.Join(filepath.Dir(b.file), b.platform+".secret")
	if b.secret, err = filepath.Abs(cmp.Or(b.secret, beside)); err != nil {
		return err
	}
	if strings.Contains(b.secret, "${") { // the configuration would replace it with an environment variable
		return cli.Usage("--secret-file %s: the configuration reads ${NAME} as a variable of the environment: name another",
			b.secret)
	}
	secret := ""
	if b.lacksSecret() && b.terminal() && !b.dryRun {
		if secret, err = b.askSecret(c, in, b.secret); err != nil {
			return err
		}
	}
	file.head = b.head()
	file.parse = config.ParseWithoutSecrets
	cfg, err := file.apply(b.additions(), withoutVariables, writer{
		out: c.OutOrStdout(), dryRun: b.dryRun, allowed: func() (bool, error) { return true, nil },
	})
	if err == nil && secret != "" {
		err = os.WriteFile(b.secret, []byte(secret+"\n"), 0o600)
	}
	if err != nil {
		return err
	}
	return b.printNext(c, cfg)
}

// lacksSecret reports whether the profile reads its secret from a file that does not exist.
func (b *firstConfig) lacksSecret() bool {
	_, err := os.Stat(b.secret)
	return err != nil && profiles.SecretFile.MatchString(b.profile.YAML)
}

// withoutVariables is an environment in which every variable is set: serve may run with another environment than
// this command.
func withoutVariables(string) (string, bool) { return "x", true }

// head returns the text before trunks, targets and routes.
func (b *firstConfig) head() string {
	if b.advertise == "" {
		return ""
	}
	inside := ""
	if near := b.near(); len(near) > 0 {
		inside = ", local_networks: [" + strings.Join(near, ", ") + "]"
	}
	return fmt.Sprintf("sip: {advertise: %s%s}\nmedia: {advertise: %[1]s}\n", yamlText(b.advertise), inside)
}

// near returns the sources on this side of a NAT.
func (b *firstConfig) near() (all []string) {
	for _, s := range b.source {
		if s.Addr().IsPrivate() {
			all = append(all, s.String())
		}
	}
	return all
}

// additions returns the trunk, the targets and the route, in the order in which they are prepended to their
// lists.
func (b *firstConfig) additions() []addition {
	name := cmp.Or(b.carrier.Name, b.trunk)
	trunk := fmt.Sprintf("name: %s\n%s", name, sourcesText(b.source...))
	if len(b.carrier.Media) > 0 {
		trunk += "media_sources: [" + cli.Joined(b.carrier.Media) + "]\n"
	}
	if b.country != "" {
		trunk += fmt.Sprintf("country: %s   # completes numbers without one\n", yamlQuoted(b.country))
	}
	all := []addition{{"trunks", trunk}}
	names := []string{}
	targets := b.targets()
	for _, t := range slices.Backward(targets) {
		all = append(all, addition{"targets", t})
	}
	for _, t := range targets {
		name, _, _ := strings.Cut(strings.TrimPrefix(t, "name: "), "\n")
		names = append(names, name)
	}
	route := "trunk: " + name + "\n"
	switch {
	case b.trunk == trunkPBX: // the PBX decides which calls to send
		route += "ringing: on-target   # the PBX hears ringing when the agent rings\n"
	case b.number != "":
		route += fmt.Sprintf("to: %s\n", yamlText(`^\+?`+b.number[1:]+"$"))
	}
	return append(all, addition{"routes", route + "targets: [" + strings.Join(names, ", ") + "]\n"})
}

// sourcesText returns the sources of a trunk, including this machine, as YAML.
func sourcesText(all ...config.Source) string {
	return "sources: [" + cli.Joined(append(all, config.Source{})) + "]   # local: this machine, for test calls\n"
}

// targets returns the elements of the profile's list, with the values of the account.
func (b *firstConfig) targets() (all []string) {
	_, text, _ := strings.Cut(b.profile.YAML, "\ntargets:\n  - ")
	text = strings.ReplaceAll(text, "\n    ", "\n")
	for word, value := range b.values {
		text = strings.ReplaceAll(text, word, value)
	}
	if all := config.RegionsOf(b.platform); all != nil {
		text = strings.NewReplacer("region: "+all[0].Name, "region: "+b.region.Name, "@"+all[0].SIP, "@"+b.region.SIP).
			Replace(text)
	}
	text = profiles.SecretFile.ReplaceAllString(text, strings.ReplaceAll(yamlText(b.secret), "$", "$$"))
	if b.trunk == trunkPBX && b.number != "" { // the agent has a single number, but the PBX dials extensions
		text = strings.ReplaceAll(text, "sip:{{.To.Number}}@", "sip:"+b.number+"@")
		text = strings.Replace(text, "\n  model_id:", "\n  to_number: "+yamlQuoted(b.number)+"\n  model_id:", 1)
	}
	for target := range strings.SplitSeq(text, "\n  - ") {
		all = append(all, strings.TrimSuffix(target, "\n")+"\n")
	}
	return all
}

// printNext prints the steps that remain.
func (b *firstConfig) printNext(c *cobra.Command, cfg *config.Config) error {
	var out strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	if b.lacksSecret() {
		line("\nThe secret of %s, in a file that only you can read:", b.platform)
		line("    printf %%s SECRET > %s\n    chmod 600 %[1]s", cli.ShellWord(b.secret))
	}
	for _, variable := range profiles.Variable.FindAllStringSubmatch(b.profile.YAML, 1) {
		line("\nThe secret of %s, in the environment of serve:\n    export %s=SECRET", b.platform, variable[1])
	}
	line("\nThe firewall (nftables, in a chain of hook input; for clouds see flowbridge help cloud):")
	for _, s := range b.source {
		line("    %s saddr %s udp dport %d accept", family(s.Prefix), s, cfg.SIP.Listen[0].AddrPort.Port())
	}
	line("    udp dport %d-%d accept", cfg.Media.PortLow, cfg.Media.PortHigh)
	if b.advertise == "auto" {
		line("\nThe start asks the cloud for the public address. Elsewhere write it in place of auto, in sip and in media.")
	}
	line("\nThen check it, start it, and call it from this machine:")
	line("    flowbridge check --config %s\n    flowbridge serve --config %[1]s", cli.ShellWord(b.file))
	line("    flowbridge call --to sip:%s@127.0.0.1", cmp.Or(b.number, exampleNumber))
	line("\nflowbridge targets profiles %s says what the platform wants besides.", b.platform)
	_, err := c.OutOrStdout().Write([]byte(out.String()))
	return err
}

// family returns the word of nftables for the address family of a network.
func family(p netip.Prefix) string {
	if p.Addr().Is4() {
		return "ip"
	}
	return "ip6"
}
