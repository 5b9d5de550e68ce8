package profiles

import (
	"cmp"
	"embed"
	"regexp"
	"slices"
	"strings"
)

// files are configurations of targets, one file a platform. Their first lines say what they are.
//
//go:embed *.yaml
var files embed.FS

// Placeholder is what stands in a profile for a value of the operator's account.
var Placeholder = regexp.MustCompile(
	`ACCOUNT_SIP_DOMAIN|AGENT_ID|DOMAIN-TRUNK|GOOGLE_PROJECT|INTERNAL_ID|MODEL_ID|PROJECT_ID|SIP_USER|SUBDOMAIN|USERNAME|WORKSPACE_ID`)

// exampleHost is a host of the operator's.
var exampleHost = regexp.MustCompile(`[a-z]+\.example\.com`)

// Profile is the configuration of a target as its platform documents calls, for pasting.
type Profile struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Version string   `json:"version"`
	Date    string   `json:"date"`    // of the version
	Sources []string `json:"sources"` // what it follows
	YAML    string   `json:"yaml"`    // comments included
}

// All are all profiles, by name.
func All() []Profile {
	entries, _ := files.ReadDir(".") // there is no disk that could fail
	all := make([]Profile, 0, len(entries))
	for _, f := range entries {
		text, _ := files.ReadFile(f.Name())
		all = append(all, profileOf(strings.TrimSuffix(f.Name(), ".yaml"), string(text)))
	}
	return all
}

// Names are the names of all profiles.
func Names() (names []string) {
	for _, p := range All() {
		names = append(names, p.Name)
	}
	return names
}

// profileOf reads what the comments at the beginning of a file say.
func profileOf(name, text string) Profile {
	p := Profile{Name: name, YAML: text}
	for line := range strings.Lines(text) {
		words, ok := strings.CutPrefix(strings.TrimSpace(line), "# ")
		if !ok {
			break
		}
		switch key, value, _ := strings.Cut(words, ": "); key {
		case "Version":
			p.Version = value
		case "Date":
			p.Date = value
		case "Source":
			p.Sources = append(p.Sources, value)
		case "Call page": // for the page: admin/web/platforms.json
		default:
			p.Title = cmp.Or(p.Title, words)
		}
	}
	return p
}

// Words are what in a profile stands for values of an account: placeholders, and hosts of example.com.
func (p *Profile) Words() []string {
	_, text, _ := strings.Cut(p.YAML, "\ntargets:")
	words := append(Placeholder.FindAllString(text, -1), exampleHost.FindAllString(text, -1)...)
	slices.Sort(words)
	return slices.Compact(words)
}

// Replace is what a profile says of its words; empty: it has none.
func (p *Profile) Replace() string {
	_, text, _ := strings.Cut(p.YAML, "# Replace ")
	text, _, _ = strings.Cut(text, "\ntargets:")
	text, _, _ = strings.Cut(text, "\n#\n") // further comments
	return strings.ReplaceAll(text, "\n# ", " ")
}
