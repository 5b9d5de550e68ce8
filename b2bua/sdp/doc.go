// Package sdp reads and writes session descriptions (RFC 8866, RFC 3264): the one
// audio stream that is relayed, its formats in each side's numbers, its direction,
// the keys of SRTP (RFC 4568) and the o= line.
//
// A Description is never changed once it was read: what is put to the other side
// is another one, made of it. The other streams are kept as text, to be declined.
package sdp
