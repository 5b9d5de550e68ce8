// Package transaction has the four machines of SIP transactions (RFC 3261 section 17, RFC
// 6026) and the table of the transactions that live. It knows no dialog and no socket: it is given
// requests and responses, and sends bytes by a Way.
//
//	Table.Send     begins a client transaction; its User gets the answers
//	Table.Answer   a response came: retransmissions end, a refusal gets its ACK
//	Table.Receive  a request came: a new Server, or a copy that gets the last answer again
//	Server.Respond, Server.Cancel, Table.Acknowledge
//
// A transaction is data: its machine gives an action for each input, and its next
// deadline. It has no goroutine, channel or timer of its own. The table holds the
// deadlines in one heap with one timer. A message is written once; what is sent again are
// those bytes.
//
// # Decisions
//
// One lock guards the table and all transactions, for the time of a map access. Nothing
// is sent and no user is called under it, so a copy is made of what is sent again.
//
// A client transaction ends at its final response. What Timers D, K and M are for needs no
// memory here: a repeated refusal is acknowledged from its own headers and a repeated 2xx
// is for its leg (Handler.StrayResponse), for 64*T1; other responses are dropped.
//
// A server transaction that is answered keeps its key, the bytes of its answer and a
// deadline. Over UDP that is for Timer J, H, I or L. Two last for T4, the time that a copy
// may still be on its way: BYE, whose branch the server knows for 64*T1, and an INVITE
// whose 2xx is acknowledged. Deadlines at which something is only forgotten fall together,
// four times a second.
//
// A CANCEL is matched by the key of its INVITE, which has the sender's address in it. The
// lookup and the entry are one step under the lock, so if a CANCEL and an INVITE
// come at the same moment by two sockets, one finds the other.
//
// Keys tell datagrams from connections: writing to a connection may block, and who reads a
// socket must not be made to do that by a copy or an answer that comes the other way.
//
// A provisional answer that can't be sent does not end its INVITE, though RFC 3261 section
// 17.2.4 advises that: a caller behind NAT whose connection broke opens another one, and the
// next answer, or the INVITE that comes again, finds it. TestCallerReturnsWhileRinging in
// b2bua.
//
// An answer that a CANCEL has overtaken is not sent (ErrCancelled): the 487 is the only
// final answer.
package transaction
