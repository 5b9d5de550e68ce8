// Package report has what explain is asked, who places that call, the INVITE that this makes,
// and what explain answers: whether the call is refused before its route is looked for, which trunk
// and route take it, and what goes out to each target.
//
// # Decisions
//
// explain is a call without I/O (b2bua.Explain): a server on a transport without sockets, a call without a goroutine,
// and the functions of a real call up to the leg's first effect. So it can't differ from a call.
// TestExplainIsWhatIsSent in calltest.
package report
