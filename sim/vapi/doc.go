// Package vapi is a stand-in for Vapi: the HTTP API for assistants, phone numbers and calls, and the SIP agent. While a
// call to a number without an assistant rings, the stand-in asks a server for one:
//
//	(under test) ── INVITE ──▶ agent ── assistant-request ──────────────────▶ (under test)
//	                             │  ◀── assistant, destination or error ──────────┘
//	                             └───── greets, transfers by REFER, or says the error and hangs up
//
// The stand-in is strict about the members that a call depends on, and keeps others as they are.
//
// Ownership: a call's goroutine calls its methods Admit, Settle and Over. The call's lock guards what the API reads of
// it, and the account's lock guards assistants and numbers.
package vapi
