// Package admin serves the HTTP interface for operators: health, live calls and records.
//
//	request ─▶ headers ─▶ Host or bearer token ─▶ method ─▶ query ─▶ Calls (live), Records (finished)
//
// It only reads. Live calls come through Calls, which asks the calls themselves; finished ones through Records.
// Without a token it answers only requests that name a loopback host, so that a web page in an operator's browser
// cannot read it under a name of its own (DNS rebinding). With a token everything but /healthz and /readyz needs it.
//
// Every error is {"error": what is wrong, "remedy": what to do}. A handler keeps no state: any goroutine may call it.
package admin
