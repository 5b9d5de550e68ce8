// Package report has what explain is asked, who places that call, the INVITE that this makes,
// and what explain answers: whether the call is refused before its route is looked for, which trunk
// and route take it, and what goes out to each target.
package report
