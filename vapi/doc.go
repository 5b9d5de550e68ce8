// Package vapi speaks to Vapi beside SIP, in both directions.
//
//	Account   what calls need at the platform: assistants and SIP phone numbers, by its API
//	Handler   what the platform asks while a call rings: which assistant is to take it
//
// Words: an assistant is an agent; a phone number of provider "vapi" is a SIP URI of the platform's, which calls go to; a
// custom assistant for each call is one that the platform asks a server of ours for.
//
// Ownership: an Account does not change after it was made, and neither does a handler's configuration. The tokens and
// secrets of both are in no error and no log.
package vapi
