// Package operate is the commands that ask a running server by its admin API: calls, drain, reload and healthcheck.
//
// They find the API where the configuration file says that it listens, a Unix socket included. Where admin.local gives
// requests of this machine the right, they send no token, so that the log has the user's own name; else a token of the
// file, if this user may read one. So on the server's machine they need no flags.
package operate
