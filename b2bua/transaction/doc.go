// Package transaction implements the four state machines of SIP transactions (RFC 3261 section 17, RFC 6026) and the
// table of live transactions. It knows nothing about dialogs and sockets: it gets requests and responses, and sends
// bytes through a Way.
//
//	Table.Send     begins a client transaction; its User gets the answers
//	Table.Answer   a response came: retransmissions end, a refusal gets its ACK
//	Table.Receive  a request came: a new Server, or a copy that gets the last answer again
//	Server.Respond, Server.Cancel, Table.Acknowledge
//
// A transaction is plain data: its machine returns an action for each input, and its next
// deadline. It has no goroutine, channel or timer of its own. The table holds the
// deadlines in one heap with one timer. A message is written once, and retransmissions
// send the same bytes.
//
// # Decisions
//
// One lock guards the table and all transactions, for the time of a map access. Nothing
// is sent and no user is called under it, so retransmissions send a copy.
//
// A client transaction ends at its final response. Timers D, K and M are not needed: for
// 64*T1, a repeated refusal is acknowledged from its own headers, and a repeated 2xx goes
// to its leg (Handler.StrayResponse); other responses are dropped.
//
// An answered server transaction keeps its key, the bytes of its answer and a deadline: over UDP that of Timer J, H,
// I or L. Two kinds stay only for T4, the time that a copy may still be on its way: a BYE, whose branch the server
// remembers for 64*T1, and an INVITE whose 2xx is acknowledged. Deadlines at which a transaction is only forgotten
// are rounded, so that they come at most four times a second.
//
// A CANCEL is matched by the key of its INVITE, which includes the sender's address. The
// look-up and the insertion are one step under the lock, so if a CANCEL and an INVITE
// come at the same moment by two sockets, one finds the other.
//
// Keys distinguish datagrams from connections: writing to a connection may block, and a
// copy or an answer that comes by a socket must not make the socket's reader write to a
// connection.
//
// A provisional answer that can't be sent does not end its INVITE, though RFC 3261
// section 17.2.4 advises that: a caller behind NAT whose connection broke opens another
// one, and the next answer, or the repeated INVITE, finds that one.
// TestCallerReturnsWhileRinging in b2bua.
//
// An answer that comes after a CANCEL is not sent (ErrCancelled): the 487 is the only
// final answer.
package transaction
