// Package b2bua implements the back-to-back user agent: it answers a carrier's INVITE,
// calls a voice-AI platform, and connects the two dialogs and their media until one side
// hangs up.
//
// Package transport receives a message: it has the sockets and connections, the filter before the parser, and the
// transactions. Then receive.go passes the message to its leg, or admits a new call, which package call runs. A call
// knows its server only by the call.Host that open.go makes.
//
// Locks are in the registry, the admission counts, the inbox, the replays, the throttle and the redirected calls. A
// goroutine holds such a lock only while it reads or writes memory. The call and its legs need no locks.
package b2bua
