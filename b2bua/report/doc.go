// Package report has what explain is asked, who places that call, the INVITE that this makes,
// and what explain answers: which trunk and route take a call, and what goes out to each target.
package report
