// Package admin serves the HTTP API for operators: health, live calls, records and recordings; with an Operator and a
// Control also draining, reloading and orders to live calls.
//
//	connection ─▶ bounds ─▶ headers ─▶ origin, Host ─▶ token or local: rights
//	           ─▶ method ─▶ query ─▶ Calls, Records, Control
//
// Live calls come through Calls, which asks the calls themselves; finished ones through Records. So /api/calls/{id}
// finds a call at any moment (TestOneCall).
//
// A token has a name and rights (TestRights). Without one, requests of this machine have the rights that Access.Local
// names: over a Unix socket, or over loopback under a loopback name, because a web page in an operator's browser could
// otherwise use the API under a name of its own (DNS rebinding; TestHostWithoutToken, TestLocal). What a browser sends
// for a web page of another origin is refused, reading included, because that costs time, too (TestWebPagesGetNothing).
// Each change is logged with the name of its sender (TestChangesAreLoggedByName).
//
// A connection that shows no right ends with its first answer, or within seconds, so strangers can't keep a place
// (TestSlowHeaders).
//
// The page (web) is static and comes to anyone; it asks the API as any program does (TestPageIsServed). Events tells it
// of changes; a reader that is slow is dropped, and nobody waits for it (TestSlowReaderIsDropped).
//
// A wrong token is answered late, so that all strangers together have few guesses, and nobody is locked out
// (TestGuessedTokens).
//
// Every error is application/problem+json, with what to do. The API is described by openapi.yaml, to which the routes
// and every answer in these tests are held (TestOpenAPI). A handler keeps no state: any goroutine may call it.
package admin
