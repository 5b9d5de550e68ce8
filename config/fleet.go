package config

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Fleet is the section `fleet`.
type Fleet struct {
	// The file with the URL of the PostgreSQL database, like postgres://flowbridge:secret@db.example/flowbridge. The
	// records of finished calls are copied there from the local database. Empty: no fleet.
	DSN Secret `key:"dsn_file" later:""`
	// Whether max_calls and max_cps of trunks and targets hold for all nodes together: each node has an equal part.
	Caps bool `key:"caps" default:"false"`
	// The name of this node, in its records too. No other node of the fleet has it. Default: the host name.
	Node string `key:"node" is:"node-name"`
}

// On says whether there is a fleet.
func (f *Fleet) On() bool { return f.DSN != "" }

// nodeName is what a node may be called.
var nodeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func (f *Fleet) check(s section) {
	if at, ok := s.fields["caps"]; ok && f.Caps && !s.filled("dsn_file") {
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
		at, _ := s.get("dsn_file") // it was just read
		at.complain(complaint{
			problem: "names a file whose URL " + problem, hide: true,
			remedy: "write postgres://USER:PASSWORD@HOST:5432/DATABASE; encode special characters of the password, like @ as %40",
		})
	}
}

// problemOfDSN says what is wrong with the URL of a database, and nothing of what is in it.
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
