package config

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"flowbridge/audio"
)

// Config is the whole of flowbridge.yaml. Sections are read in this order, as later ones name what stands in earlier ones.
type Config struct {
	// Where SIP is received, and what Flowbridge calls itself in SIP.
	SIP SIP `key:"sip"`
	// Where RTP is received, and what Flowbridge calls itself in SDP.
	Media Media `key:"media"`
	// Where calls are recorded to. Without this section no call can be recorded.
	Recording Recording `key:"recording"`
	// WAV files by name: mono, 8000 Hz, 16-bit PCM or G.711, at most 10 minutes. Routes and the admin API play them.
	Sounds map[string]*audio.Sound `key:"sounds"`
	// The carriers and PBXs that may call, and that calls may be placed to. Unknown sources get no answer.
	Trunks []Trunk `key:"trunks"`
	// The platforms and SIP addresses that calls go to.
	Targets []Target `key:"targets"`
	// Which call goes to which targets or trunks. The first route that matches is used.
	Routes []Route `key:"routes"`
	// The HTTP interface for operators.
	Admin Admin `key:"admin"`
	// The HTTP addresses that platforms and carriers ask. A hook with a listen is on. Hooks may share a listen.
	Hooks Hooks `key:"hooks"`
	// The local database of live and finished calls.
	Store Store `key:"store"`
	// What is logged to standard error.
	Log Log `key:"log"`
	// Reserved. This version has no fleet.
	_ fleet `key:"fleet"`

	// Warnings are what the file says, by line, that is hardly meant.
	Warnings Errors
}

// fleet is the section `fleet`, which may be there without values.
type fleet struct {
	// Reserved. It must be empty.
	DSNFile string `key:"dsn_file" is:"file"`
}

func (f *fleet) check(s section) {
	if f.DSNFile != "" {
		s.fields["dsn_file"].fail("this version does not have "+s.path, "remove it, or leave it empty")
	}
}

// Recording is the section `recording`.
type Recording struct {
	// The directory of the recordings, relative to the working directory. Only one process at a time may use it.
	Path string `key:"path" is:"directory" required:"the directory that recordings go to, like /var/lib/flowbridge/recordings"`
	// How long recordings are kept.
	Keep time.Duration `key:"keep" default:"30d"`
	// The files of each recording: wav (PCMU, PCMA; caller left, called right), pcapng (SIP, RTP, RTCP), or both.
	Formats []string `key:"format" is:"format" default:"wav" filled:""`
	// The size at which a file ends, from 1MB to 4GB.
	MaxSize int64 `key:"max_size" is:"size" default:"1GB"`
	// How often both sides hear a beep while they are recorded, from 1s to 1h. The first beep is at the beginning. 0: never.
	Beep time.Duration `key:"beep" is:"beep" default:"0"`
}

func (r *Recording) wanted(s section) bool { return !s.absent }

// parseBeep takes the time between two beeps.
func parseBeep(t string) (time.Duration, complaint) {
	if t == "0" {
		return 0, complaint{}
	}
	d, c := parseDuration(t)
	if c.none() && (d < time.Second || d > time.Hour) {
		return 0, refuse("is shorter than 1s or longer than 1h", "write a duration like 15s, or 0 for no beep")
	}
	return d, c
}

func parseDirectory(t string) (string, complaint) {
	if t == "" || strings.ContainsAny(t, "\x00\r\n") {
		return "", refuse("is not a directory", "write one like /var/lib/flowbridge/recordings")
	}
	return t, complaint{}
}

var size = regexp.MustCompile(`^(\d{1,4})(MB|GB)$`)

// parseSize takes a whole number of megabytes or gigabytes, powers of ten.
func parseSize(t string) (int64, complaint) {
	m := size.FindStringSubmatch(t)
	if m == nil {
		return 0, refuse("is not a size", "write one like 500MB or 2GB")
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // four digits
	n *= 1e6
	if m[2] == "GB" {
		n *= 1e3
	}
	if n < 1e6 || n > 4e9 {
		return 0, refuse("is not from 1MB to 4GB", "write a size that is: WAV has no room for more")
	}
	return n, complaint{}
}

// Store is the section `store`.
type Store struct {
	// The SQLite file, relative to the working directory. Only one process at a time may write it.
	Path string `key:"path" is:"store-path" default:"flowbridge.db"`
	// How long finished calls are kept.
	Keep time.Duration `key:"keep" default:"90d"`
	// How long message ladders are kept. It has no effect yet.
	Ladders time.Duration `key:"ladders" default:"7d"`
}

func parseStorePath(t string) (string, complaint) {
	switch {
	case t == "" || strings.ContainsAny(t, "\x00\r\n"):
		return "", refuse("is not a file name", "write one like flowbridge.db")
	case t == ":memory:" || strings.HasPrefix(t, "file:"):
		return "", refuse("is not a file of its own", "write a plain file name like flowbridge.db")
	}
	return t, complaint{}
}

// The values of log.format.
const (
	FormatJSON    = "json"
	FormatConsole = "console"
)

// Log is the section `log`.
type Log struct {
	// The least severe level that is logged.
	Level string `key:"level" enum:"debug info warn error" default:"info"`
	// How log lines are written.
	Format string `key:"format" enum:"json console" default:"json"`
}
