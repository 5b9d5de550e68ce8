package provision

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/config/template"
	"flowbridge/synthflow"
)

// addition is a new element of a list in the configuration.
type addition struct{ key, element string }

// plan lists the elements that the configuration lacks. If an element exists with other values, it returns an error.
func (u *setup) plan(f *setupFile, model string) ([]addition, error) {
	text := f.old
	if isBlank(text) { // serve refuses an empty file, but setup may fill one
		text = []byte("{}")
	}
	cfg, err := config.Parse(f.path, text, u.env)
	if err != nil {
		return nil, fmt.Errorf("correct the configuration first:\n%w", err)
	}
	trunk, newTrunk, err := u.whichTrunk(cfg)
	if err != nil {
		return nil, err
	}
	u.trunk = trunk // the test call comes from this trunk
	target, err := u.targetText(model)
	if err != nil {
		return nil, err
	}
	var all []addition
	if newTrunk {
		source, _ := sourceOf(u.trunkSource) // already checked
		text := "name: " + yamlText(trunk) + "\n" + sourcesText(config.Source{Prefix: source})
		all = append(all, addition{"trunks", text})
	}
	there, err := u.targetThere(cfg, model)
	if err != nil {
		return nil, err
	}
	if !there {
		all = append(all, addition{"targets", target})
	}
	if !u.routeThere(cfg, trunk) {
		all = append(all, addition{"routes", fmt.Sprintf("trunk: %s\nto: %s\ntargets: [%s]\n",
			yamlText(trunk), yamlText(`^\+?`+synthflow.Slug(u.phoneNumber)+"$"), yamlText(u.targetName))})
	}
	return all, nil
}

// defaultTrunk is the name of a new trunk without --trunk.
const defaultTrunk = "carrier"

// whichTrunk returns the trunk of the route. fresh reports that the trunk does not exist yet.
func (u *setup) whichTrunk(cfg *config.Config) (name string, fresh bool, err error) {
	name = u.trunk
	if name == "" && u.trunkSource != "" {
		name = defaultTrunk
	}
	var names []string
	for i := range cfg.Trunks {
		t := &cfg.Trunks[i]
		if t.Name == name {
			return name, false, u.sendsFrom(t)
		}
		names = append(names, t.Name)
	}
	switch {
	case u.trunkSource != "":
		return name, true, nil
	case name != "":
		return "", false, cli.Usage(
			"--trunk %s: there is no such trunk; write --trunk-source, the network that its SIP comes from, too", name)
	case len(names) == 1:
		return names[0], false, nil
	case len(names) == 0:
		return "", false, cli.Usage("there is no trunk: write --trunk-source, the network that the carrier's SIP comes from")
	}
	return "", false, cli.Usage("there are several trunks: write --trunk, one of %s", strings.Join(names, ", "))
}

// sendsFrom returns an error if an existing trunk lacks the source in --trunk-source.
func (u *setup) sendsFrom(t *config.Trunk) error {
	source, err := sourceOf(u.trunkSource)
	if u.trunkSource == "" || err == nil && slices.Contains(t.Sources, config.Source{Prefix: source}) {
		return nil
	}
	return fmt.Errorf("trunk %s is in the configuration already, without the source %s; add it by hand, or write another --trunk", t.Name, u.trunkSource)
}

// sourceOf parses a network or an address.
func sourceOf(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// targetURI returns the URI of the target. Its user is the imported number, however the carrier dials it, so that
// the user equals to_number.
func (u *setup) targetURI() string {
	ofRegion := fmt.Sprintf("%s:%d", config.SynthflowHost(u.regionName()), u.at.region.Port)
	return "sip:" + u.phoneNumber + "@" + cmp.Or(u.sip, ofRegion)
}

// regionName returns the region of --region or --api, or "" for the host in the documents.
func (u *setup) regionName() string {
	if u.flags.Changed("region") || u.api != "" {
		return u.at.region.Name
	}
	return ""
}

// targetText returns the target as YAML.
func (u *setup) targetText(model string) (string, error) {
	token, err := u.tokenKey()
	if err != nil {
		return "", err
	}
	for _, v := range []string{model, u.at.workspace, u.at.BaseURL, token, u.targetName} {
		if strings.Contains(v, "${") { // the configuration would replace it with an environment variable
			return "", fmt.Errorf(
				"%.100q can't stand in the configuration, which reads ${NAME} as a variable of the environment", v)
		}
	}
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("name: %s", yamlText(u.targetName))
	line("kind: synthflow")
	if name := u.regionName(); name != "" {
		line("region: %s", name)
	}
	line("uri: %s", yamlText(u.targetURI()))
	section := "prepare"
	if u.direct {
		section = "account"
	}
	line("%s:", section)
	if u.at.region.API != u.at.BaseURL {
		line("  api: %s", yamlText(u.at.BaseURL))
	}
	line("  %s", token)
	line("  workspace_id: %s", yamlQuoted(u.at.workspace))
	if u.direct {
		return b.String(), nil
	}
	line("  model_id: %s", yamlQuoted(model))
	line("  to_number: %s", yamlText(u.phoneNumber))
	line("headers:")
	line(`  X-EI: "S.{{.Prepare.CallID}};"`)
	return b.String(), nil
}

// targetThere reports whether the target exists. If it exists with other values, it returns an error.
func (u *setup) targetThere(cfg *config.Config, model string) (bool, error) {
	t := cfg.Target(u.targetName)
	if t == nil {
		return false, nil
	}
	if wrong := u.otherwise(t, model); len(wrong) > 0 {
		return false, fmt.Errorf(
			"target %s is already in the configuration, with other values: %s; change it by hand, or write another --target-name",
			t.Name, strings.Join(wrong, "; "))
	}
	return true, nil
}

// otherwise lists the differences of an existing target.
func (u *setup) otherwise(t *config.Target, model string) (wrong []string) {
	differs := func(what, have, want string) {
		if have != want {
			wrong = append(wrong, fmt.Sprintf("%s is %q, wanted %q", what, have, want))
		}
	}
	differs("kind", t.Kind, config.KindSynthflow)
	if t.URI != nil {
		number := template.Party{Number: u.phoneNumber, User: u.phoneNumber}
		uri, err := t.URI.Render(template.Vars{To: number})
		if err != nil {
			uri = t.URI.String()
		}
		differs("uri", uri, u.targetURI())
	}
	switch {
	case u.direct && t.Prepare != nil:
		wrong = append(wrong, "it has prepare, which --direct does without")
	case u.direct:
	case t.Prepare == nil:
		wrong = append(wrong, "it has no prepare")
	default:
		differs("prepare.api", t.Prepare.API, strings.TrimSuffix(u.at.BaseURL, "/"))
		switch model {
		case dryModelID: // the existing agent may be the wanted one
		case newModelID:
			wrong = append(wrong, fmt.Sprintf("prepare.model_id is %q, wanted that of a new agent", t.Prepare.ModelID.String()))
		default:
			differs("prepare.model_id", t.Prepare.ModelID.String(), model)
		}
		differs("prepare.workspace_id", t.Prepare.WorkspaceID.String(), u.at.workspace)
	}
	return wrong
}

// routeThere reports whether the first matching route leads calls to the number to the target.
func (u *setup) routeThere(cfg *config.Config, trunk string) bool {
	for i := range cfg.Routes {
		r := &cfg.Routes[i]
		switch {
		case r.Target != "", r.Trunk != "" && r.Trunk != trunk, !r.To.Match(u.phoneNumber):
			continue
		case r.From != nil: // the route only takes some callers
			return false
		}
		return len(r.Targets) > 0 && r.Targets[0] == u.targetName
	}
	return false
}

// plainText matches a text that needs no quotes in YAML, unless it is one of yamlWords.
var plainText = regexp.MustCompile(`^[A-Za-z/][A-Za-z0-9_/.-]*$`)

// yamlText formats a text for YAML, in double quotes unless it is a plain word.
func yamlText(s string) string {
	if plainText.MatchString(s) && !slices.Contains(yamlWords, strings.ToLower(s)) {
		return s
	}
	return yamlQuoted(s)
}

// yamlQuoted returns a text in double quotes, which ids that look like numbers need.
func yamlQuoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// yamlWords have a special meaning in YAML, in upper or lower case.
var yamlWords = []string{"true", "false", "null", "yes", "no", "on", "off", "y", "n"}

// errNotWritten means that the operator refused the change.
var errNotWritten = errors.New("the configuration was not written")

// tokenKey returns the configuration's line for the token.
func (u *setup) tokenKey() (string, error) {
	if u.tokenFile == "" {
		return "token_env: " + yamlText(u.tokenEnv), nil
	}
	file, err := filepath.Abs(u.tokenFile) // the service has another working directory
	return "token_file: " + yamlText(file), err
}
