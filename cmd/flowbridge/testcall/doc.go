// Package testcall places a call through a B2BUA in this process. For every command that places calls, it also
// draws the SIP messages of the call and describes the call's audio in words.
package testcall
