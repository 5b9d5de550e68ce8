package provision

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"
	"go.yaml.in/yaml/v3"
	"golang.org/x/sys/unix"

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
	group    int          // of the package's service, which reads the files; 0: there is none
}

// serviceGroup is the group of the package's service.
const serviceGroup = "flowbridge"

// Init returns the command `flowbridge init`.
func Init() *cobra.Command {
	own, _ := local.Addresses() // without them the default stays
	b := &firstConfig{terminal: func() bool { return isatty.IsTerminal(os.Stdin.Fd()) }, own: own}
	if g, err := user.LookupGroup(serviceGroup); err == nil && os.Geteuid() == 0 {
		b.group, _ = strconv.Atoi(g.Gid)
	}
	return initCommand(b)
}

func initCommand(b *firstConfig) *cobra.Command {
	c := cli.Command("init", "Write a first configuration",
		"Write a configuration with a carrier or PBX, a platform, and the route between them; then say what is still to do:\n"+
			"the firewall, the test call. What no flag says is asked for at a terminal, the secret, too, whose file only you can\n"+
			"read. A file with a trunk, target or route is left alone. To fill an account at Synthflow, too, use flowbridge synthflow setup.",
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
	if !isUnused(file.old) {
		return cli.Usage("%s is there already: name another file by --config; flowbridge synthflow setup adds to one", b.file)
	}
	if dir := filepath.Dir(file.path); !b.dryRun && unix.Access(dir, unix.W_OK) != nil { // before it asks
		return cli.Usage("%s can't be written: run it as a user who may write in %s, or name another file by --config", b.file, dir)
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
	file.head, file.parse = b.head(file.old), config.ParseWithoutSecrets
	if b.group != 0 {
		file.mode, file.owner = 0o640, &syscall.Stat_t{Uid: uint32(os.Getuid()), Gid: uint32(b.group)} //nolint:gosec // ids
	}
	cfg, err := file.apply(b.additions(), withoutVariables, writer{
		out: c.OutOrStdout(), dryRun: b.dryRun, allowed: func() (bool, error) { return true, nil },
	})
	if err == nil && secret != "" {
		err = b.writeSecret(secret)
	}
	if err != nil {
		return err
	}
	return b.printNext(c, cfg)
}

// writeSecret writes the file of the secret, for this user or for the service.
func (b *firstConfig) writeSecret(secret string) error {
	f, err := os.OpenFile(b.secret, os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(secret + "\n")
	if b.group != 0 {
		err = errors.Join(err, f.Chown(-1, b.group), f.Chmod(0o640))
	}
	return errors.Join(err, f.Close())
}

// isUnused reports whether a file has no trunks, targets and routes, like the package's.
func isUnused(text []byte) bool {
	var root map[string]any
	return isBlank(text) || yaml.Unmarshal(text, &root) == nil &&
		root["trunks"] == nil && root["targets"] == nil && root["routes"] == nil
}

// lacksSecret reports whether the profile reads its secret from a file that does not exist.
func (b *firstConfig) lacksSecret() bool {
	_, err := os.Stat(b.secret)
	return err != nil && profiles.SecretFile.MatchString(b.profile.YAML)
}

// withoutVariables is an environment in which every variable is set: serve may run with another environment than
// this command.
func withoutVariables(string) (string, bool) { return "x", true }

// head returns the text before trunks, targets and routes: that of the file which is replaced, and the addresses for
// peers.
func (b *firstConfig) head(old []byte) string {
	text := string(old)
	if b.advertise == "" {
		return text
	}
	inside := ""
	if near := b.near(); len(near) > 0 {
		inside = ", local_networks: [" + strings.Join(near, ", ") + "]"
	}
	text = withKeys(text, "sip", "advertise: "+yamlText(b.advertise)+inside)
	return withKeys(text, "media", "advertise: "+yamlText(b.advertise))
}

// withKeys adds keys to a section of a text, which may not have the section.
func withKeys(text, section, keys string) string {
	block := regexp.MustCompile(`(?m)^` + section + `:[ \t]*(?:#.*)?\n([ \t]+)`)
	if at := block.FindStringSubmatchIndex(text); at != nil {
		indent := text[at[2]:at[3]]
		lines := strings.ReplaceAll(keys, ", local_networks", "\n"+indent+"local_networks")
		return text[:at[2]] + indent + lines + "\n" + text[at[2]:]
	}
	if at := regexp.MustCompile(`(?m)^` + section + `:[ \t]*\{`).FindStringIndex(text); at != nil {
		return text[:at[1]] + keys + ", " + text[at[1]:]
	}
	return text + section + ": {" + keys + "}\n"
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
		line("    printf %%s SECRET > %s", cli.ShellWord(b.secret))
		if b.group == 0 {
			line("    chmod 600 %s", cli.ShellWord(b.secret))
		} else {
			line("    chgrp %s %s\n    chmod 640 %[2]s", serviceGroup, cli.ShellWord(b.secret))
		}
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
	line("\nflowbridge targets profiles %s says what the platform wants besides.", b.platform)
	line("\nThen check it, start it, and call it from this machine:")
	start := "flowbridge serve --config " + cli.ShellWord(b.file)
	if b.group != 0 {
		start = "systemctl enable --now flowbridge"
	}
	line("    flowbridge check --config %s\n    %s\n    flowbridge call --to sip:%s@127.0.0.1", cli.ShellWord(b.file), start,
		cmp.Or(b.number, exampleNumber))
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
