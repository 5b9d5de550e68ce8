package admin

import (
	"cmp"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os/user"
	"strings"
	"time"

	"flowbridge/internal/httpd"
)

// Rights say what a request may do. Each value includes the ones before it.
type Rights int

// The rights.
const (
	RightsNone    Rights = iota
	RightsRead           // see calls, records and recordings
	RightsOperate        // change something, and see profiles
)

// Token is a bearer token.
type Token struct {
	Name   string // name for the log
	Secret string
	Rights Rights
	Listen bool // it may hear live calls
	// Calls is how many calls from browsers it may have at a time. 0: it may not call.
	Calls int
}

// Access says which senders may do what.
type Access struct {
	// Tokens are the bearer tokens.
	Tokens []Token
	// Local are the rights of requests that come from this machine without a token.
	Local Rights
	// LocalCalls is Token.Calls of these requests.
	LocalCalls int
}

// sender is the sender of a request, as far as it is known.
type sender struct {
	name    string // in the log
	rights  Rights
	listens bool
	calls   int // how many calls from browsers it may have at a time
}

// identify returns the sender of a request. Without a known token, a request from this machine has the rights of
// Access.Local.
func (a *api) identify(r *http.Request) (who sender, known bool) {
	access := a.Access()
	if r.Header.Get("Authorization") != "" {
		shown := httpd.Bearer(r)
		for _, t := range access.Tokens { // compare all, so that the time does not reveal which one was close
			if httpd.Same(shown, t.Secret) {
				who, known = sender{t.Name, t.Rights, t.Listen, t.Calls}, true
			}
		}
		return who, known
	}
	if !isLocal(r) || access.Local == RightsNone {
		return sender{}, false
	}
	return sender{localName(r), access.Local, false, access.LocalCalls}, true
}

// isLocal reports whether a request comes from this machine. It must not come through a proxy, or from a web page under
// that page's own name (DNS rebinding).
func isLocal(r *http.Request) bool {
	if passedOn(r) != "" {
		return false
	}
	return isUnix(r) || overLoopback(r) && isLoopback(r.Host)
}

// passedOn returns the header with which a proxy marks a forwarded request, or "".
func passedOn(r *http.Request) string {
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Real-IP"} {
		if r.Header.Get(name) != "" {
			return name
		}
	}
	return ""
}

// overLoopback reports whether a request came over a loopback address.
func overLoopback(r *http.Request) bool {
	from, err := netip.ParseAddrPort(r.RemoteAddr)
	return err == nil && from.Addr().Unmap().IsLoopback()
}

// notOwn says why a local request without a token does not have the rights of Access.Local. It returns "" if that is
// not the cause.
func (a *api) notOwn(r *http.Request) string {
	if a.Access().Local == RightsNone || r.Header.Get("Authorization") != "" || !isUnix(r) && !overLoopback(r) {
		return ""
	}
	if name := passedOn(r); name != "" {
		return "the request has the header " + name + ", so a proxy passed it on, and admin.local does not count for it"
	}
	if !isUnix(r) && !isLoopback(r.Host) {
		return "the request names the host " + quoted(r.Host) +
			", which is neither localhost nor a loopback address, so admin.local does not count for it"
	}
	return ""
}

// isUnix reports whether a request came over a Unix socket.
func isUnix(r *http.Request) bool {
	_, ok := r.Context().Value(http.LocalAddrContextKey).(*net.UnixAddr)
	return ok
}

// localName returns the name for the log of a request without a token. Over a Unix socket, the name includes the user
// of the process that sent it.
func localName(r *http.Request) string {
	uid, ok := strings.CutPrefix(r.RemoteAddr, peerPrefix)
	if !ok {
		return "local"
	}
	if u, err := user.LookupId(uid); err == nil {
		return "user " + u.Username
	}
	return "uid " + uid
}

// allowed serves only senders that have the rights.
func (a *api) allowed(needs Rights, next func(w http.ResponseWriter, r *http.Request, who sender)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, known := a.identify(r)
		if !known {
			cause := a.notOwn(r)
			a.delay(r)
			a.refused(r, "unknown", cmp.Or(cause, "no token, or a wrong one"))
			a.unknown(w, cause)
			return
		}
		if who.rights < needs {
			a.refused(r, who.name, "it needs the right operate")
			problem, remedy := "the token "+quoted(who.name)+" may only read", "use a token with rights: operate"
			if r.Header.Get("Authorization") == "" {
				problem, remedy = "requests without a token may only read",
					"use a token with rights: operate, or change admin.local"
			}
			a.fail(w, http.StatusForbidden, problem, remedy)
			return
		}
		next(w, r, who)
	}
}

// guessTime is the delay of the answer to a wrong token. A listener has at most maxConnections connections, and each
// ends with its first wrong token. So there are at most that many guesses in this time. The right token is never
// delayed, and no sender is locked out because of other senders at its address.
const guessTime = time.Second

// delay delays the answer to a wrong token.
func (a *api) delay(r *http.Request) {
	if r.Header.Get("Authorization") == "" {
		return
	}
	timer := time.NewTimer(guessTime)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
	}
}

// unknown answers an unknown sender. The answer gives the cause if the token is not to blame. The connection ends, to
// make room for others.
func (a *api) unknown(w http.ResponseWriter, cause string) {
	w.Header().Set("Connection", "close")
	if len(a.Access().Tokens) == 0 {
		problem, remedy := "requests without a token may do nothing here, and there is no token",
			"write admin.tokens, or change admin.local"
		if cause != "" {
			problem, remedy = cause, "ask without the proxy, or write admin.tokens and send one of them"
		}
		a.fail(w, http.StatusForbidden, problem, remedy)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="flowbridge"`)
	a.fail(w, http.StatusUnauthorized, cmp.Or(cause, "the bearer token is missing or wrong"),
		"send the header Authorization: Bearer, followed by a token of admin.token_file or admin.tokens")
}

// source returns the origin of a request for the log.
func source(r *http.Request) string {
	if isUnix(r) {
		return "unix"
	}
	return r.RemoteAddr
}

// refused logs a request that was not carried out, within the log limit for strangers.
func (a *api) refused(r *http.Request, by, reason string) {
	a.strangers.Warn().Str("by", by).Str("src", source(r)).Str("method", r.Method).Str("path", cut(r.URL.Path)).
		Str("reason", reason).
		Msg("admin request refused")
}

// foreign reports whether a browser sends a request for a web page of another origin. Browsers say so: current ones
// always, in Sec-Fetch-Site; older ones in Origin, except for reads. Such requests are refused even if they only read,
// because reading has a cost, too.
func foreign(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin", "none": // none: the user typed the address
		return false
	case "":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host == "" || !strings.EqualFold(u.Host, r.Host)
}

// isLoopback reports whether a Host header names this machine itself.
func isLoopback(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}
