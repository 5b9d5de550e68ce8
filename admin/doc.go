// Package admin serves the HTTP API for operators: health, live calls, records and recordings. With an Operator and a
// Control it can also drain, reload, and give orders to live calls.
//
//	connection ─▶ bounds ─▶ headers ─▶ origin, Host ─▶ token or local: rights
//	           ─▶ method ─▶ query ─▶ Calls, Records, Control
//
// Calls provides live calls by asking the calls themselves. Records provides finished calls. So /api/calls/{id} finds a
// call at any moment (TestOneCall).
//
// A token has a name and rights (TestRights). Without a token, requests from this machine have the rights of
// Access.Local: over a Unix socket, or over loopback under a loopback name, because otherwise a web page in an
// operator's browser could use the API under the page's own name (DNS rebinding; TestHostWithoutToken, TestLocal).
// Requests that a browser sends for a web page of another origin are refused even if they only read, because reading
// has a cost, too (TestWebPagesGetNothing). Each change is logged with the name of its sender
// (TestChangesAreLoggedByName).
//
// A connection on which no right is proved ends with its first answer, or within seconds, so strangers can't occupy a
// place (TestSlowHeaders).
//
// The page (web) is static and served to anyone; it uses the API like any other program (TestPageIsServed). Events
// tells it about changes. A slow reader is dropped, and does not delay calls (TestSlowReaderIsDropped).
//
// The answer to a wrong token is delayed, so that all strangers together have few guesses, and no operator is locked
// out (TestGuessedTokens).
//
// Every error is application/problem+json and says what to do. openapi.yaml describes the API, and the tests check the
// routes and all their answers against it (TestOpenAPI). Handlers keep no state: any goroutine may call them.
package admin
