package config

import (
	"strings"
	"time"

	"flowbridge/media/audio"
)

// Config is the whole of flowbridge.yaml. Its sections are read in this order, because later ones refer to earlier
// ones.
type Config struct {
	// Where SIP is received, and how Flowbridge names itself in SIP.
	SIP SIP `key:"sip"`
	// Where RTP is received, and how Flowbridge names itself in SDP.
	Media Media `key:"media"`
	// Where calls are recorded. Without this section no call can be recorded.
	Recording Recording `key:"recording"`
	// WAV files by name: mono, 8000 Hz, 16-bit PCM or G.711, at most 10 minutes. Routes and the admin API play them.
	Sounds map[string]*audio.Sound `key:"sounds"`
	// The CSV file of numbers with a route, targets or values of their own. Its first line names the columns: number,
	// perhaps route and targets, and names for templates ({{.Row.agent}}).
	Numbers *Table `key:"numbers"`
	// The carriers and PBXs that may call, and that calls may be placed to. Unknown sources get no answer.
	Trunks []Trunk `key:"trunks"`
	// The platforms and SIP addresses that calls go to.
	Targets []Target `key:"targets"`
	// Which calls go to which targets or trunks. The first route that matches is used.
	Routes []Route `key:"routes"`
	// The HTTP interface for operators.
	Admin Admin `key:"admin"`
	// What platforms and carriers ask by HTTP. A hook is on if its section is here.
	Hooks Hooks `key:"hooks"`
	// The local database of finished calls, and beside it the journal of live ones.
	Store Store `key:"store"`
	// The receivers that finished calls are posted to, signed.
	Webhooks []webhook `key:"webhooks"`
	// Where calls are shown besides the log and the admin API.
	Telemetry Telemetry `key:"telemetry"`
	// What is logged to standard error.
	Log Log `key:"log"`
	// The PostgreSQL database that several nodes share. Without dsn_file there is none.
	Fleet Fleet `key:"fleet"`

	// Warnings lists lines of the file that are valid but probably a mistake.
	Warnings Errors
	// Source is the text of the file.
	Source []byte
}

// Target returns the target with the given name, or nil.
func (c *Config) Target(name string) *Target {
	for i := range c.Targets {
		if c.Targets[i].Name == name {
			return &c.Targets[i]
		}
	}
	return nil
}

// isPath reports whether a string can be the name of a file or directory.
func isPath(t string) bool { return t != "" && !strings.ContainsAny(t, "\x00\r\n") }

// Store is the section `store`.
type Store struct {
	// The SQLite file. Only one process at a time may write it.
	Path string `key:"path" is:"store-path" default:"flowbridge.db"`
	// How long finished calls are kept.
	Keep time.Duration `key:"keep" default:"90d"`
	// How long ladders are kept (flowbridge-ladders.db): SIP and HTTP messages, with secrets hidden, and decisions. off,
	// or 0: none.
	Ladders time.Duration `key:"ladders" is:"ladders" default:"7d"`
}

// parseLadders parses a duration, or off.
func parseLadders(t string) (time.Duration, complaint) {
	if isZero(t) || strings.EqualFold(t, "off") {
		return 0, complaint{}
	}
	d, c := parseDuration(t)
	if !c.none() {
		return 0, refuse(c.problem, "write a duration like 7d, or off for no ladders")
	}
	return d, c
}

func parseStorePath(t string) (string, complaint) {
	switch {
	case !isPath(t):
		return "", refuse("is not a file name", "write one like flowbridge.db")
	case t == ":memory:" || strings.HasPrefix(t, "file:"):
		return "", refuse("is not a file of its own", "write a plain file name like flowbridge.db")
	}
	return t, complaint{}
}

// The values of log.format.
const (
	formatJSON    = "json"
	FormatConsole = "console"
)

// Log is the section `log`.
type Log struct {
	// The least severe level that is logged.
	Level string `key:"level" enum:"debug info warn error" default:"info"`
	// How log lines are written.
	Format string `key:"format" enum:"json console" default:"json"`
}
