package config

import (
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Recording is the section `recording`: where calls are recorded to. Without it none can be.
type Recording struct {
	// Path is the directory, relative to the working directory. Required. Empty: there is no section.
	Path string
	// Keep is how long recordings are kept. Default: 30d.
	Keep time.Duration
	// Formats are the files of each recording: wav, pcapng. Written `format`. Default: wav.
	Formats []string
	// MaxSize ends a file that would grow larger, in bytes; written like "500MB" or "2GB". Default: 1GB. At most 4GB.
	MaxSize int64
	// Beep is how often both sides hear a beep while they are recorded, the first time when it begins. Default: 0, never.
	Beep time.Duration
}

// Wanted says how a call may come to what a route has for it.
type Wanted string

// The values of routes[].record and routes[].mask_dtmf.
const (
	// WantedOff: not at all.
	WantedOff Wanted = "off"
	// WantedAlways: in every call, from its answer to its end.
	WantedAlways Wanted = "always"
	// WantedOnDemand: when the admin API asks for it.
	WantedOnDemand Wanted = "on_demand"
)

// The values of recording.format.
const (
	formatWAV    = "wav"
	formatPcapng = "pcapng"
)

// recording reads the section where the file has it.
func (s section) recording() Recording {
	if !s.has("recording") {
		return Recording{}
	}
	s.l.records = true
	s = s.sub("recording", "path", "keep", "format", "max_size", "beep")
	s.require("path", "the directory that recordings go to, like /var/lib/flowbridge/recordings")
	r := Recording{
		Path:    one(s, "path", "", parseDirectory),
		Keep:    s.duration("keep", 30*day),
		Formats: []string{formatWAV},
		MaxSize: one(s, "max_size", 1e9, parseSize),
		Beep:    one(s, "beep", 0, parseBeep),
	}
	if s.has("format") {
		r.Formats = each(s, "format", parseFormat)
		s.notEmpty("format")
	}
	return r
}

// parseBeep takes how often there is a beep.
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

func parseFormat(t string) (string, complaint) {
	if t != formatWAV && t != formatPcapng {
		return "", refuse("is not a format of recordings", "write wav or pcapng, or both")
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

// wanted reads record or mask_dtmf of a route.
func (s section) wanted(key string) Wanted {
	return Wanted(s.choice(key, string(WantedOff), string(WantedOff), string(WantedAlways), string(WantedOnDemand)))
}

// record reads how a route's calls are recorded, and reports what can't be.
func (s section) record() Wanted {
	w := s.wanted("record")
	if w != WantedOff && !s.l.records {
		s.fields["record"].fail("has no effect without the section recording", "write recording: {path: …} at the top level, or remove it")
	}
	return w
}
