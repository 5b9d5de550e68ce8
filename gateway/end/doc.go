// Package end is a gateway's end of a SIP dialog that outlives its process: what the requests within the dialog need is
// sealed into a text that somebody else keeps, and its sequence numbers follow the clock.
package end
