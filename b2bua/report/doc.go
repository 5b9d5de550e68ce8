// Package report has the question to explain, the caller and the INVITE that follow from it, and the answer: whether
// the call is refused before routing, which trunk and route take it, and the messages to each target.
//
// # Decisions
//
// explain is a call without I/O (b2bua.Explain): a server on a transport without sockets, a call without a goroutine,
// and the functions of a real call up to the leg's first effect. So its answer can't differ from a real call.
// TestExplainIsWhatIsSent in calltest.
package report
