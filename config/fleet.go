package config

import (
	"cmp"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Fleet is the section `fleet`.
type Fleet struct {
	// The file with the URL of the PostgreSQL database: postgres://flowbridge:secret@db.example/flowbridge. Records are
	// copied there. Empty: no fleet.
	DSN Secret `key:"dsn_file" later:""`
	// Whether max_calls and max_cps of trunks and targets hold for all nodes together: each node has an equal part.
	Caps bool `key:"caps" default:"false"`
	// The name of this node, also in its records. No other node of the fleet may have it. Default: the host name.
	Node string `key:"node" is:"node-name"`
	// The admin.listen of the other nodes, like "192.0.2.12:8080". Only these, and nodes of seats with the same secret,
	// are sent requests for another node's ladder or recording, with their token.
	Nodes []netip.AddrPort `key:"nodes"`
	// The seat, by which another node continues the answered calls when this machine dies. Without it they end.
	Takeover Takeover `key:"takeover"`
}

// Takeover is the section `fleet.takeover`.
type Takeover struct {
	// The name of the seat: the addresses of sip.listen and media.listen, with their calls. Nodes with the same seat are
	// each other's standby.
	Seat string `key:"seat" is:"node-name"`
	// The file with the common secret of a seat's nodes, at least 32 characters. They sign with it, and encrypt the
	// calls' states.
	Key Secret `key:"key_file" later:""`
	// How long the answer to a caller waits for the database. Then the call continues unprotected.
	Patience time.Duration `key:"patience" default:"50ms" knob:""`
}

// On reports whether the node has a seat.
func (t *Takeover) On() bool { return t.Seat != "" }

func (t *Takeover) check(s section) {
	if !s.filled("seat") {
		if at, ok := s.fields["key_file"]; ok {
			at.fail("needs the name of a seat", "write seat beside it, or remove it")
		}
		return
	}
	for _, a := range s.l.cfg.Addresses() {
		if a.IsUnspecified() && s.l.root.fields != nil { // without fields, the rest of the file is not read
			s.fields["seat"].fail(
				"needs addresses that can move to another machine, and "+a.String()+" is all that a machine has",
				"name them in sip.listen and media.listen, like udp://203.0.113.5:5060 and 203.0.113.5")
			break
		}
	}
	if !s.filled("key_file") {
		s.l.fail(s.node.Line, join(s.path, "key_file"), "is missing",
			"write the name of a file with a secret of 32 characters or more, the same on all nodes of the seat")
		return
	}
	t.Key = s.secretFile("key_file")
	if t.Key != "" && len(t.Key.Reveal()) < minSeatKey {
		at, _ := s.get("key_file") // it has just been read
		at.complain(complaint{
			problem: "names a file with a secret that is too short", hide: true,
			remedy: "write 32 characters or more into it, like those of: openssl rand -base64 32",
		})
	}
}

// Addresses returns the distinct addresses that SIP and RTP are bound to.
func (c *Config) Addresses() (all []netip.Addr) {
	for _, l := range c.SIP.Listen {
		all = append(all, l.AddrPort.Addr())
	}
	for _, l := range c.Media.Listen {
		all = append(all, l.Addr)
	}
	slices.SortFunc(all, netip.Addr.Compare)
	return slices.Compact(all)
}

// minSeatKey is the minimum length of a seat's secret, in bytes.
const minSeatKey = 32

// On reports whether there is a fleet.
func (f *Fleet) On() bool { return f.DSN != "" }

// nodeName matches the allowed names of a node.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (f *Fleet) check(s section) {
	if at, ok := s.fields["caps"]; ok && f.Caps && !s.filled("dsn_file") {
		at.fail("needs the database of the fleet", "write dsn_file beside it, or remove it")
	}
	if at, ok := s.fields["takeover"]; ok && f.Takeover.On() && !s.filled("dsn_file") {
		at.fail("needs the database of the fleet", "write dsn_file beside it, or remove it")
	}
	if !s.filled("dsn_file") {
		return
	}
	if at, ok := s.get("dsn_file"); ok && strings.Contains(at.text, "://") {
		at.complain(complaint{
			problem: "is not the name of a file",
			remedy:  "write the URL into a file, and the file's name here", hide: true,
		})
		return
	}
	f.DSN = s.secretFile("dsn_file")
	if f.DSN == "" {
		return
	}
	if problem := problemOfDSN(f.DSN.Reveal()); problem != "" {
		f.DSN = ""
		at, _ := s.get("dsn_file") // it has just been read
		at.complain(complaint{
			problem: "names a file whose URL " + problem, hide: true,
			remedy: "write postgres://USER:PASSWORD@HOST:5432/DATABASE; encode special characters of the password, like @ as %40",
		})
	}
}

// unsureDSN reports whether a database is on another machine and its certificate is not verified.
func unsureDSN(text string) bool {
	u, err := url.Parse(text)
	if err != nil {
		return false
	}
	q := u.Query()
	mode := q.Get("sslmode")
	sure := mode == "verify-full" || mode == "verify-ca" || mode == "require" && q.Has("sslrootcert") // as in libpq
	return !sure && slices.ContainsFunc(strings.Split(cmp.Or(q.Get("host"), u.Host), ","), func(host string) bool {
		return !strings.HasPrefix(host, "/") && !strings.HasPrefix(host, "@") &&
			!loopbackHost(host) && !loopbackHost((&url.URL{Host: host}).Hostname())
	})
}

// problemOfDSN says what is wrong with the URL of a database. It reveals no part of the URL.
func problemOfDSN(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "is not well-formed"
	case !slices.Contains([]string{"postgres", "postgresql"}, u.Scheme):
		return "does not begin with postgres://"
	case u.Path == "" || u.Path == "/":
		return "names no database"
	case u.Host == "" && !u.Query().Has("host"):
		return "names no host"
	}
	return ""
}
