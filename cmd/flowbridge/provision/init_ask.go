package provision

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/profiles"
	"flowbridge/config"
	"flowbridge/internal/local"
)

// The trunks of a first configuration, by their names.
const (
	trunkCarrier = "carrier"
	trunkPBX     = "pbx"
)

// exampleNumber is called if no number was given.
const exampleNumber = "+15075785607"

// answers holds the answers to the questions.
type answers struct {
	trunk, platform, country, number, advertise string
	source                                      []config.Source // besides this machine
	profile                                     profiles.Profile
	carrier                                     profiles.Carrier // zero if its networks are not known
	region                                      config.Region    // zero if the platform has none
}

// question is a question that can also be answered by a flag.
type question struct {
	flag, asks string
	standard   string // the meaning of an empty line
	optional   bool   // the answer may be empty
	flagOnly   bool   // is not asked at a terminal
	take       func(a *answers, text string) error
}

var questions = []question{
	{
		flag: "trunk", asks: "where calls come from: carrier or pbx", standard: trunkCarrier,
		take: matching(`^(carrier|pbx)$`, "write carrier or pbx", func(a *answers) *string { return &a.trunk }),
	},
	{
		flag: "carrier", optional: true, flagOnly: true, take: takeCarrier,
		asks: "carrier whose networks are known, in place of --source: " + strings.Join(profiles.CarrierNames(), " or "),
	},
	{
		flag: "source", take: takeSources,
		asks: "networks or addresses of its SIP, like 203.0.113.0/24, with commas or blanks between; or " +
			strings.Join(profiles.CarrierNames(), " or "),
	},
	{flag: "platform", asks: "platform: " + strings.Join(profiles.Names(), ", "), take: takePlatform},
	{flag: "region", asks: "region of the account at Synthflow or Vapi: global, us or eu", optional: true, take: takeRegion},
	{
		flag: "country", asks: "country code for numbers without one, like 1 or 49", optional: true,
		take: matching(`^([1-9][0-9]{0,2})?$`, "write a country code, one to three digits",
			func(a *answers) *string { return &a.country }),
	},
	{
		flag: "number", asks: "the agent's number, like +15075785607; without it all calls of the trunk are taken",
		optional: true,
		take:     takeNumber,
	},
	{
		flag: "advertise", asks: "public address, if this machine is behind NAT: an address, auto, or stun:HOST:PORT",
		optional: true, take: takeAdvertise,
	},
}

// accountValue matches a value of an account, which the file has in quotes or in a host name.
const accountValue = `^[A-Za-z0-9+._~-]+$`

// matching returns a function that accepts text matching a pattern.
func matching(form, wrong string, into func(*answers) *string) func(*answers, string) error {
	match := regexp.MustCompile(form).MatchString
	return func(a *answers, text string) error {
		*into(a) = text
		if !match(text) {
			return errors.New(wrong)
		}
		return nil
	}
}

func takePlatform(a *answers, text string) error {
	all := profiles.All()
	i := slices.IndexFunc(all, func(p profiles.Profile) bool { return p.Name == text })
	if i < 0 {
		return errors.New("there is no such profile; trunk is for any SIP trunk, flowbridge targets profiles lists all")
	}
	a.platform, a.profile = text, all[i]
	return nil
}

// takeNumber takes a number with its country code, or a national one if the country's code is known.
func takeNumber(a *answers, text string) error {
	number := strings.NewReplacer(" ", "", "-", "", "(", "", ")", "", ".", "", "/", "").Replace(text)
	if a.country != "" && number != "" && number[0] != '+' {
		if number = config.National(number, a.country); number[0] != '+' { // Spain's, for one, begin with no 0
			number = "+" + a.country + number
		}
	}
	return matching(`^(\+[1-9][0-9]{1,14})?$`, "write it with + and country code",
		func(a *answers) *string { return &a.number })(a, number)
}

// takeAdvertise takes the address for peers.
func takeAdvertise(a *answers, text string) error {
	a.advertise = text
	return readable("sip: {advertise: "+yamlText(text)+"}\nmedia: {advertise: "+yamlText(text)+"}\n", "sip.advertise")
}

// readable returns the first error about a path, or a path below it, of a part of a configuration.
func readable(part, path string) error {
	_, err := config.ParseWithoutSecrets("", []byte(part), withoutVariables)
	var all config.Errors
	errors.As(err, &all)
	for _, e := range all {
		if strings.HasPrefix(e.Path, path) {
			return fmt.Errorf("%s: %s; %s", path, e.Problem, e.Remedy)
		}
	}
	return nil
}

// takeRegion accepts a region of the platform. The default is the first one.
func takeRegion(a *answers, text string) error {
	all := config.RegionsOf(a.platform)
	if i := slices.IndexFunc(all, func(r config.Region) bool { return text == "" || text == r.Name }); i >= 0 {
		a.region = all[i]
	} else if text != "" {
		return errors.New("write one of its regions: " + cmp.Or(strings.Join(config.RegionNames(all), ", "), "it has none"))
	}
	return nil
}

// takeCarrier takes the networks of a carrier's profile.
func takeCarrier(a *answers, text string) error {
	if text == "" {
		return nil
	}
	c, ok := profiles.CarrierNamed(text)
	if !ok {
		return errors.New("there is no such profile; flowbridge trunks profiles lists all. Give its networks by --source")
	}
	if a.trunk == trunkPBX {
		return errors.New("a PBX has an address of your own: give it by --source")
	}
	a.carrier = c
	for _, n := range c.Networks {
		a.source = append(a.source, config.Source{Prefix: n.Prefix})
	}
	return nil
}

func takeSources(a *answers, text string) error {
	if _, ok := profiles.CarrierNamed(text); ok {
		return takeCarrier(a, text)
	}
	var all []config.Source
	for one := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) }) {
		if one == "local" { // always included
			continue
		}
		p, err := sourceOf(one)
		if err != nil {
			return fmt.Errorf("%q is no network: write one like 203.0.113.0/24, or an address", one)
		}
		all = append(all, config.Source{Prefix: p})
	}
	if len(all) == 0 && !strings.Contains(text, "local") {
		return errors.New("write a network or an address, like 203.0.113.0/24")
	}
	if err := readable("trunks:\n  - name: a\n    "+sourcesText(all...), "trunks[0].sources"); err != nil {
		return err
	}
	a.source = append(a.source, all...)
	return nil
}

// ask gets answers to all questions from flags or the terminal. own are the addresses of this machine. values
// initially holds the values of --set; ask adds the answers for the profile's other words.
func ask(
	c *cobra.Command, in *bufio.Reader, terminal bool, own []netip.Addr, values map[string]string,
) (a answers, err error) {
	for _, q := range questions {
		f := c.Flags().Lookup(q.flag)
		if !f.Changed && !q.fit(&a, terminal, own) {
			continue
		}
		switch {
		case f.Changed || !terminal && (q.optional || q.standard != ""):
			text := f.Value.String()
			if !f.Changed {
				text = q.standard
			}
			if err := q.take(&a, text); err != nil {
				return a, cli.Usage("--%s %q: %w", q.flag, text, err)
			}
		case !terminal:
			return a, cli.Usage("--%s is missing: %s", q.flag, q.asks)
		default:
			if err := q.put(c, in, &a); err != nil {
				return a, err
			}
		}
	}
	return a, a.askValues(c, in, terminal, values)
}

// fit adapts a question that no flag answers to the answers so far. It reports whether the question is open.
func (q *question) fit(a *answers, terminal bool, own []netip.Addr) (open bool) {
	switch q.flag {
	case "source":
		return len(a.source) == 0
	case "advertise":
		if a.isHidden(own) {
			q.standard = "auto"
		}
	case "region":
		if all := config.RegionsOf(a.platform); terminal && all == nil {
			return false
		} else if terminal {
			q.asks, q.standard = "region of the account: "+strings.Join(config.RegionNames(all), ", "), all[0].Name
		}
	}
	return !q.flagOnly
}

// isHidden reports whether calls come from the internet, which can reach none of the machine's own addresses.
func (a *answers) isHidden(own []netip.Addr) bool {
	outside := slices.ContainsFunc(a.source, func(s config.Source) bool { return local.IsPublic(s.Addr()) })
	return outside && len(own) > 0 && !slices.ContainsFunc(own, local.IsPublic)
}

// put repeats a question until the answer is valid.
func (q question) put(c *cobra.Command, in *bufio.Reader, a *answers) error {
	hint := ""
	switch {
	case q.standard != "":
		hint = " [" + q.standard + "]"
	case q.optional:
		hint = " [none]"
	}
	for {
		fmt.Fprintf(c.OutOrStdout(), "%s%s: ", q.asks, hint)
		line, err := in.ReadString('\n')
		if err != nil {
			return fmt.Errorf("no answer to %q: %w; nothing was written", q.flag, err)
		}
		text := cmp.Or(strings.TrimSpace(line), q.standard)
		if text == "" && !q.optional {
			fmt.Fprintln(c.OutOrStdout(), "this needs an answer")
			continue
		}
		if err := q.take(a, text); err != nil {
			fmt.Fprintf(c.OutOrStdout(), "%v\n", err)
			continue
		}
		return nil
	}
}

// askValues asks for the words of the profile that stand for values of an account.
func (a *answers) askValues(c *cobra.Command, in *bufio.Reader, terminal bool, values map[string]string) error {
	words := a.profile.Words()
	for word := range values {
		if !slices.Contains(words, word) {
			return cli.Usage("--set %s: the profile %s has no such word; it has %s", word, a.platform, strings.Join(words, ", "))
		}
	}
	if terminal && slices.ContainsFunc(words, func(word string) bool { return values[word] == "" }) {
		fmt.Fprintf(c.OutOrStdout(), "from your account: %s\n", strings.SplitN(a.profile.Replace(), ". ", 2)[0])
	}
	for _, word := range words {
		var value string
		take := matching(accountValue, "letters, digits and + . _ ~ - only", func(*answers) *string { return &value })
		q := question{flag: "set", asks: word, take: take}
		given, isGiven := values[word]
		switch {
		case isGiven:
			if err := q.take(a, given); err != nil {
				return cli.Usage("--set %s=%q: %w", word, given, err)
			}
		case !terminal:
			return cli.Usage("--set %s=… is missing: %s", word, a.profile.Replace())
		default:
			if err := q.put(c, in, a); err != nil {
				return err
			}
		}
		values[word] = value
	}
	return nil
}

// askSecret asks for the secret that a file will contain. An empty line leaves it for later.
func (a *answers) askSecret(c *cobra.Command, in *bufio.Reader, file string) (string, error) {
	for {
		fmt.Fprintf(c.OutOrStdout(), "token or password of %s, for %s; it is not shown [later]: ", a.platform, file)
		show := hideInput(c.InOrStdin())
		line, err := in.ReadString('\n')
		show()
		if err != nil {
			return "", fmt.Errorf("no answer to the secret: %w; nothing was written", err)
		}
		line = strings.TrimSpace(line)
		if line == "" {
			return "", nil
		}
		if _, err = config.SecretFromEnv("SECRET", func(string) (string, bool) { return line, true }); err == nil {
			return line, nil
		}
		fmt.Fprintf(c.OutOrStdout(), "%v\n", err)
	}
}

// hideInput keeps a terminal from showing what the user types, until show is called or a signal ends the process.
func hideInput(in io.Reader) (show func()) {
	file, _ := in.(*os.File) // nil if in is not a file
	fd := int(file.Fd())
	was, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil { // not a terminal
		return func() {}
	}
	quiet := *was
	quiet.Lflag = quiet.Lflag&^unix.ECHO | unix.ECHONL
	restore := func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, was) } // an error is unlikely: it worked just before
	ctx, free := cli.Interruptible(context.Background())
	ignore := context.AfterFunc(ctx, func() { restore(); os.Exit(cli.ExitFailed) })
	_ = unix.IoctlSetTermios(fd, unix.TCSETS, &quiet)
	return func() { ignore(); free(); restore() }
}
