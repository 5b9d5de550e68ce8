package config

import (
	"fmt"
	"net/netip"
	"strings"
)

// The rights of a request to the admin API. Each includes the rights before it.
const (
	rightsNone    = "none"
	RightsRead    = "read"
	RightsOperate = "operate"
)

// Admin is the section `admin`.
type Admin struct {
	// The address of the admin API, or a Unix socket: "unix:///run/flowbridge/admin.sock". An address that is not loopback
	// needs token_file or tokens. Commands find the API here.
	Listen AdminAddress `key:"listen" default:"127.0.0.1:8080"`
	// The file with a bearer token that may do everything. Its name in the log is token_file.
	Token Secret `key:"token_file" later:""`
	// Bearer tokens with separate names and rights. Each change is logged with the name.
	Tokens []adminToken `key:"tokens"`
	// What requests without a token may do if they come from this machine: over loopback or the Unix socket, not through a
	// proxy. Default: operate if there is no token, else none.
	Local string `key:"local" enum:"none read operate"`
	// LocalCall says that requests without a token may also call from a browser. It is not part of the file.
	LocalCall bool
}

// adminToken is one of `admin.tokens`.
type adminToken struct {
	// The name in the log for changes made with the token.
	Name string `key:"name" is:"token-name" required:"a name for the log, like anna"`
	// The file with the token.
	Token Secret `key:"file" later:"" required:"the file with the token, like /run/secrets/anna"`
	// What the token allows: read sees calls, records and recordings; operate can also make changes.
	Rights string `key:"rights" enum:"read operate" required:"read or operate"`
	// Whether the token may also listen to live calls.
	Listen bool `key:"listen" default:"false"`
	// Whether the token may also place calls from a browser. It needs a trunk with browser: true.
	Call bool `key:"call" default:"false"`
	// The most such calls at a time.
	MaxCalls int `key:"max_calls" default:"1" min:"1" max:"1000000"`
}

func (t *adminToken) check(s section) { t.Token = s.secretFile("file") }

// AdminAddress is where the admin API listens.
type AdminAddress struct {
	netip.AddrPort        // if invalid, Socket is used
	Socket         string // the path of a Unix socket; if empty, AddrPort is used
}

// unixScheme is the prefix of a Unix socket's path.
const unixScheme = "unix://"

// String returns the address in the form of the file.
func (a AdminAddress) String() string {
	if a.Socket != "" {
		return unixScheme + a.Socket
	}
	return a.AddrPort.String()
}

// IsLocal reports whether only this machine can reach the address.
func (a AdminAddress) IsLocal() bool { return a.Socket != "" || a.Addr().Unmap().IsLoopback() }

// maxSocketPath is the longest path that Linux accepts (unix(7)), minus the suffix a socket has until it is ready.
const maxSocketPath = 107 - len(".new")

func parseAdminAddress(t string) (AdminAddress, complaint) {
	path, isUnix := strings.CutPrefix(t, unixScheme)
	if !isUnix {
		at, c := parseAddrPort(t)
		if !c.none() {
			c.remedy += ", or a Unix socket like unix:///run/flowbridge/admin.sock"
		}
		return AdminAddress{AddrPort: at}, c
	}
	switch {
	case !strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.ContainsAny(path, "\x00\r\n"):
		return AdminAddress{}, refuse("is not the whole path of a Unix socket",
			"write one with three slashes, like unix:///run/flowbridge/admin.sock")
	case len(path) > maxSocketPath:
		return AdminAddress{}, refuse(fmt.Sprintf("has a path of more than %d bytes", maxSocketPath),
			"write a shorter one, like unix:///run/flowbridge/admin.sock")
	}
	return AdminAddress{Socket: path}, complaint{}
}

func (a *Admin) check(s section) {
	if s.filled("token_file") {
		a.Token = s.secretFile("token_file")
	}
	hasToken := s.filled("token_file") || s.elements("tokens") > 0
	if !hasToken && !a.Listen.IsLocal() {
		s.fields["listen"].fail("is not a loopback address, so anybody who reaches it could read the calls",
			"write token_file or tokens below admin, or listen on 127.0.0.1")
	}
	a.checkTokens(s)
	if a.Local == "" {
		a.Local = RightsOperate
		if hasToken {
			a.Local = rightsNone
		}
	}
}

// checkTokens reports tokens that would look the same in the log.
func (a *Admin) checkTokens(s section) {
	if s.elements("tokens") == 0 {
		return
	}
	names, secrets := map[string]string{}, map[Secret]string{}
	if a.Token != "" {
		names["token_file"], secrets[a.Token] = "admin.token_file", "admin.token_file"
	}
	for i, at := range s.list("tokens") {
		t := &a.Tokens[i]
		if before, taken := names[t.Name]; taken && t.Name != "" {
			at.fail(fmt.Sprintf("has the name %q, as %s has", t.Name, before), "give each token a name of its own")
		}
		if before, taken := secrets[t.Token]; taken && t.Token != "" {
			at.fail("has the same token as "+before, "write another token into one of the files")
		}
		if t.Call && strings.Trim(t.Name, "0123456789+-._()") == "" && t.Name != "" {
			at.fail(fmt.Sprintf("has the name %q, which calls from a browser would show as a number", t.Name),
				"give it a name with a letter")
		}
		names[t.Name], secrets[t.Token] = at.path, at.path
	}
}
