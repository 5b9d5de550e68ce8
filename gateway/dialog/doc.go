// Package dialog lets a gateway's side of a SIP dialog outlive its process: what the requests within the dialog need is
// sealed into a text that the other side keeps, and sequence numbers follow the clock.
package dialog
