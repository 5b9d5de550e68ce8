// Package vapi communicates with Vapi outside SIP, in both directions.
//
//	Account     what calls need at the platform: assistants and SIP phone numbers, by its API
//	NewHandler  the platform's question while a call rings: which assistant takes it?
//
// Words: an assistant is an agent. A phone number of provider "vapi" is a SIP URI of the platform that calls are sent
// to. A custom assistant is an assistant that the platform requests from this server for each call.
//
// Ownership: neither an Account nor a handler's configuration changes after creation. No error and no log contains
// tokens or secrets.
package vapi
