// Package registrar takes the registrations of trunks and targets (RFC 3261 section 10.3): phones, PBXs and platforms
// that say where they are. It does no I/O, and knows no password: the sender of a REGISTER has proven who it is before.
//
// # Decisions
//
// The bindings belong to a holder, the trunk or target whose credentials a REGISTER has shown. Its address-of-record is
// one user. So no holder can touch the bindings of another, whatever a To says, and a stolen challenge is worth as much
// as the password that it lacks. Held by TestRegister here and TestStolenNonce in calltest.
//
// A REGISTER takes effect as a whole or not at all: it is tried on a copy (RFC 3261 section 10.3, step 7). Held by
// TestRegister.
//
// A binding is the Contact together with where the REGISTER came from: its address, or its connection. Calls go there,
// because the Contact of a phone behind NAT leads nowhere (RFC 5626 section 5.3, RFC 3581). Proxies on the way that ask
// for it stay on it (Path, RFC 3327), but no text of a REGISTER decides where calls are sent. Held by
// TestPathLeadsNowhereElse in calltest.
//
// What is kept is bounded for each holder, and for all; so is what one REGISTER may cost: it has at most two Contacts
// for each one that the holder may have, one to be removed and one in its place. A device that comes with another
// address replaces its former binding if it names itself (+sip.instance, RFC 5626 section 4.1). If the address that it
// comes with was another's, that binding goes, too: an address is bound once (RFC 3261 section 10.3, step 7), and a
// device has one binding. Held by TestRegister.
//
// In a fleet each node has the bindings that it was given, and looks for the other nodes' when it has none itself. Of
// one Contact or device the last REGISTER counts. So a node also tells the others what it was asked to remove, for as
// long as an older binding may last there. Held by TestElsewhere.
//
// The store has the bindings, so calls find phones after a restart, too. A connection does not outlive one: such a
// binding is dropped when it is called, and the phone registers again because its connection broke.
package registrar
