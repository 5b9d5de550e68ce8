// Package registrar takes the registrations of trunks and targets (RFC 3261 section 10.3): phones, PBXs and platforms
// that report where they are. It does no I/O, and knows no passwords: the sender of a REGISTER has been authenticated
// before.
//
// # Decisions
//
// The bindings belong to a holder, the trunk or target whose credentials a REGISTER has shown. Its address-of-record is
// one user. So no holder can change the bindings of another, whatever its To says, and a stolen challenge is useless
// without the password. TestRegister here and TestStolenNonce in calltest.
//
// A REGISTER takes effect as a whole or not at all: it is tried on a copy (RFC 3261 section 10.3, step 7).
// TestRegister.
//
// A binding is the Contact together with the source of the REGISTER: its address, or its connection. Calls go there,
// because the Contact of a phone behind NAT leads nowhere (RFC 5626 section 5.3, RFC 3581). Proxies that ask for it
// stay on the way (Path, RFC 3327), but no text of a REGISTER decides where calls are sent. TestPathLeadsNowhereElse in
// calltest.
//
// The number of bindings is bounded for each holder, and in total. The cost of one REGISTER is also bounded: it has at
// most two Contacts for each one that the holder may have, one to remove and one to replace it. A device that comes
// with another address replaces its former binding if it names itself (+sip.instance, RFC 5626 section 4.1). If its
// address was bound by another device, that binding is removed, too: an address is bound once (RFC 3261 section 10.3,
// step 7), and a device has one binding. TestRegister.
//
// In a fleet each node has the bindings that it has accepted, and asks for the other nodes' when it has none itself.
// For one Contact or device, the last REGISTER counts. So a node also tells the others which bindings it has removed,
// for as long as an older binding may last there. TestElsewhere.
//
// The store has the bindings, so calls reach phones after a restart, too. A connection does not survive a restart: a
// binding with one is dropped when it is called, and the phone registers again because its connection broke.
package registrar
