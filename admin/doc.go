// Package admin serves the HTTP API for operators: health, live calls, records and recordings; with an Operator and a Control
// also draining, reloading and orders to live calls.
//
//	request ─▶ headers ─▶ Host or bearer token ─▶ method ─▶ query ─▶ Calls (live), Records (finished)
//
// Live calls come through Calls, which asks the calls themselves; finished ones through Records. So /api/calls/{id} finds a
// call at any moment (TestOneCall). Without a token, only requests that name a loopback host are answered, because a web
// page in an operator's browser could otherwise read the API under a name of its own (DNS rebinding; TestHostWithoutToken).
// With a token, everything but /healthz and /readyz needs it (TestToken).
//
// Every error is {"error": what is wrong, "remedy": what to do}. A handler keeps no state: any goroutine may call it.
package admin
