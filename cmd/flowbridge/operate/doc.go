// Package operate contains the commands that ask a running server over its admin API: calls, drain, reload and
// healthcheck.
//
// They find the API, which may be a Unix socket, in the configuration file. If admin.local gives local requests the
// right, they send no token, so that the log has the user's own name. Otherwise they send a token from the file, if
// this user may read one. So they need no flags on the server's machine.
package operate
