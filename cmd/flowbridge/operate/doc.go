// Package operate has the commands that ask a running server over its admin API: calls, drain, reload and healthcheck.
//
// They find the API, a Unix socket included, by the configuration file. If admin.local gives local requests the right,
// they send no token, so that the log has the user's own name; otherwise they send a token of the file, if this user
// may read one. So on the server's machine they need no flags.
package operate
