// Package testcall places a call through a B2BUA in this process, draws the SIP
// messages of a call and reports in words what became of its audio.
package testcall
