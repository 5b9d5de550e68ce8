// Package vapi speaks to Vapi beside SIP, in both directions.
//
//	Account     what calls need at the platform: assistants and SIP phone numbers, by its API
//	NewHandler  the platform's question while a call rings: which assistant takes it?
//
// Words: an assistant is an agent. A phone number of provider "vapi" is a SIP URI of the platform, which calls go to. A
// custom assistant is one that the platform asks this server for, for each call.
//
// Ownership: neither an Account nor a handler's configuration changes after it was made. Tokens and secrets are in no
// error and no log.
package vapi
