// Package registrar accepts the registrations of trunks and targets (RFC 3261 section 10.3): phones, PBXs and platforms
// that report where they are. It does no I/O, and knows no passwords: the transport has authenticated the sender of a
// REGISTER before.
//
// # Decisions
//
// The bindings belong to a holder: the trunk or target whose credentials came with the REGISTER. A holder has one
// address-of-record, which is its user name. So no holder can change the bindings of another, whatever its To header
// says, and a stolen challenge is useless without the password. TestRegister here and TestStolenNonce in calltest check
// this.
//
// A REGISTER takes effect as a whole or not at all: it is tried on a copy (RFC 3261 section 10.3, step 7). TestRegister
// checks this.
//
// A binding is the Contact together with the source of the REGISTER: its address or its connection. Calls go to the
// source, because the Contact of a phone behind NAT can't be reached (RFC 5626 section 5.3, RFC 3581). Proxies that ask
// for it stay on the path (Path, RFC 3327), but no text of a REGISTER decides where calls are sent.
// TestPathLeadsNowhereElse in calltest checks this.
//
// The number of bindings is bounded for each holder, and in total. The cost of one REGISTER is also bounded: it may
// have at most twice as many Contacts as the holder may have bindings, so that it can replace all of them. A device
// that identifies itself (+sip.instance, RFC 5626 section 4.1) and comes with another address replaces its former
// binding. If another device had bound that address, its binding is removed too: an address is bound at most once (RFC
// 3261 section 10.3, step 7), and a device has one binding. TestRegister checks this.
//
// In a fleet each node stores the bindings that it has accepted, and asks the other nodes if it has none for a holder.
// For one Contact or device, the last REGISTER counts. So a node also tells the others which bindings it has removed,
// for as long as an older binding may last there. TestElsewhere checks this.
//
// The bindings are kept in the store, so calls reach phones after a restart as well. Connections do not survive a
// restart: a binding with a connection is dropped when it is called, and the phone registers again because its
// connection broke.
package registrar
