package profiles

import (
	"fmt"
	"regexp"
	"strings"

	"flowbridge/sim/platform"
)

// StandIn says where a stand-in listens, and which files its configuration names.
type StandIn struct {
	API    string // URL of its HTTP API
	SIP    string // host:port of its agent
	Secret string // file with the token or password
	CA     string // file with its certificate, over TLS
}

// These are the default addresses of the stand-ins.
const (
	standInAPI = "http://127.0.0.1:8090"
	standInSIP = "127.0.0.1:5070"
	standInBot = "ws://127.0.0.1:8765/"
)

var (
	sipHost = regexp.MustCompile(`@[A-Za-z0-9._-]+(?::[0-9]+)?(;transport=tls)?"`)
	apiHost = regexp.MustCompile(`https://[A-Za-z0-9._-]+/`)
	botHost = regexp.MustCompile(`wss://[A-Za-z0-9._-]+/`)
	// SecretFile matches the name of a profile's secret file.
	SecretFile = regexp.MustCompile(`/run/secrets/[a-z-]+`)
	// Variable matches an environment variable in a profile.
	Variable = regexp.MustCompile(`\$\{([A-Z0-9_]+)\}`)
	comments = regexp.MustCompile(`^(#.*\n)+`)
)

// Simulated returns the profile with a stand-in's addresses and secrets in place of the platform's. Apart from these,
// only the words in capitals change.
func (p *Profile) Simulated(at StandIn) string {
	text := SecretFile.ReplaceAllString(comments.ReplaceAllString(p.YAML, ""), at.Secret)
	text = sipHost.ReplaceAllString(text, "@"+at.SIP+`$1"`)
	text = botHost.ReplaceAllString(apiHost.ReplaceAllString(text, at.API+"/"), standInBot)
	text = strings.NewReplacer("USERNAME", platform.DefaultUser, "SIP_USER", platform.DefaultUser, "MODEL_ID",
		"demo-agent", "WORKSPACE_ID", "demo", "sip:PROJECT_ID@", "sip:proj_4711@",
		"sip:proj_INTERNAL_ID@", "sip:proj_4711@", "agent_AGENT_ID", "agent_5f1c2f9e-6b7a-4c1d-9e8f-0a1b2c3d4e5f").
		Replace(text)
	if p.Name == "synthflow" { // the profile has no line for the API
		text = strings.Replace(text, "    prepare:\n", "    prepare:\n      api: "+at.API+"\n", 1)
	}
	host, _, _ := strings.Cut(at.SIP, ":")
	return strings.Replace(text, "    transport: tls",
		"    transport: tls\n    tls: {server_name: "+host+", ca: "+at.CA+"}", 1)
}

// Secret returns the required content of the secret file for a profile's stand-in.
func (p *Profile) Secret() string {
	if strings.Contains(p.YAML, "password_file") {
		return platform.DefaultPassword
	}
	return platform.DefaultToken
}

// SimulatedFile returns a complete configuration for a profile's stand-in, with the required commands as comments.
func (p *Profile) SimulatedFile() string {
	at := StandIn{API: standInAPI, SIP: standInSIP, Secret: p.Name + ".secret", CA: p.Name + ".pem"}
	if p.Name == "synthflow" {
		at.SIP = "127.0.0.1:32681"
	}
	text := p.Simulated(at)
	commands := "flowbridge simulate " + p.Name
	if strings.Contains(text, at.CA) {
		commands += " --ca-file " + at.CA
	}
	commands = "# " + commands + "\n"
	if p.Name == "vapi" { // the agent answers for the numbers of an account
		commands += "# export VAPI_TOKEN=sim-key\n" +
			"# flowbridge vapi --api http://127.0.0.1:8091 assistant create --name Demo   # prints its ID\n" +
			"# flowbridge vapi --api http://127.0.0.1:8091 number create --sip-uri sip:" + platform.DefaultUser + "@" + at.SIP + " --assistant-id ID\n"
	}
	if strings.Contains(text, at.Secret) {
		commands += fmt.Sprintf("# printf %s > %s; chmod 600 %[2]s\n", p.Secret(), at.Secret)
	}
	for _, m := range Variable.FindAllStringSubmatch(text, -1) {
		commands += fmt.Sprintf("# export %s=%s\n", m[1], platform.DefaultSecret)
	}
	return fmt.Sprintf("# %s, as its stand-in plays it:\n%strunks:\n  - {name: test, sources: [local]}\n%sroutes:\n"+
		"  - {trunk: test, targets: [%s]}\n", p.Title, commands, text, p.Name)
}
