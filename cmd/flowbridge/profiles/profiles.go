package profiles

import (
	"cmp"
	"embed"
	"regexp"
	"slices"
	"strings"
)

// files holds the target configurations, one file per platform. The first lines of a file describe it.
//
//go:embed *.yaml
var files embed.FS

// Placeholder matches a word of a profile that stands for a value of the operator's account.
var Placeholder = regexp.MustCompile(
	`ACCOUNT_SIP_DOMAIN|AGENT_ID|DOMAIN-TRUNK|GOOGLE_PROJECT|INTERNAL_ID|MODEL_ID|PROJECT_ID|SIP_USER|SUBDOMAIN|USERNAME|WORKSPACE_ID`)

// exampleHost matches a host name that the operator has to replace.
var exampleHost = regexp.MustCompile(`[a-z]+\.example\.com`)

// Profile is a target configuration to paste. It follows its platform's documents.
type Profile struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Version string   `json:"version"`
	Date    string   `json:"date"`    // date of the version
	Sources []string `json:"sources"` // the documents that it follows
	YAML    string   `json:"yaml"`    // including comments
}

// All returns all profiles, by name.
func All() []Profile {
	entries, _ := files.ReadDir(".") // reading embedded files can't fail
	all := make([]Profile, 0, len(entries))
	for _, f := range entries {
		text, _ := files.ReadFile(f.Name())
		all = append(all, profileOf(strings.TrimSuffix(f.Name(), ".yaml"), string(text)))
	}
	return all
}

// Names returns the names of all profiles.
func Names() (names []string) {
	for _, p := range All() {
		names = append(names, p.Name)
	}
	return names
}

// profileOf reads the comments at the start of a file.
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
		case "Call page", "Networks": // for the call page, admin/web/platforms.json; for carrierOf
		default:
			p.Title = cmp.Or(p.Title, words)
		}
	}
	return p
}

// Words returns the words of a profile that must be replaced by values of an account: placeholders, and hosts of
// example.com.
func (p *Profile) Words() []string {
	_, text, _ := strings.Cut(p.YAML, "\ntargets:")
	words := append(Placeholder.FindAllString(text, -1), exampleHost.FindAllString(text, -1)...)
	slices.Sort(words)
	return slices.Compact(words)
}

// Replace returns the profile's explanation of its words, or "".
func (p *Profile) Replace() string {
	_, text, _ := strings.Cut(p.YAML, "# Replace ")
	text, _, _ = strings.Cut(text, "\ntargets:")
	text, _, _ = strings.Cut(text, "\n#\n") // further comments follow
	return strings.ReplaceAll(text, "\n# ", " ")
}
