// Package ice proves the address of a side by connectivity checks (ICE, RFC 8445), so that an address in SDP, or the
// source of a packet, need not be believed. It opens no socket and reads no clock.
//
// # Decisions
//
// A side that offers ICE is answered as by an ICE-lite agent (RFC 8445 §2.5): it makes the checks, and we answer them.
// Its candidates are not needed for that.
//
// A lite agent that goes by the letter can be moved by anybody who repeats one check from another address, because the
// integrity of a check does not cover its source. So the nomination in a check names an address only until there are
// SRTP keys. Afterwards it is a wish, and the side moves with the first authentic packet from there. Test:
// TestForeignDatagrams.
//
// A check that fails gets no answer, so a stranger can't probe the port, or use it to send to others. A wrong user name
// costs no HMAC.
package ice
