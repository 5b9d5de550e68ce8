// Package testcall places a call through a B2BUA in this process. It also draws the SIP messages of a call and
// describes its audio in words, for every command that places calls.
package testcall
