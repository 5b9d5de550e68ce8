// Package handover passes the state of a running process to the process that replaces it: data and open files, over a
// Unix socket that the old process gives to the new one at its start.
//
//	old                                        new
//	Start ─────────── argv, environment ─────▶ Inherited
//	      ─── Begin, Part, … End ─────────────▶ reads its configuration, opens what it can
//	      ◀────────── Loaded, or Refused ─────
//	 freezes
//	      ─── Begin, Part, Part, … End ───────▶ takes what it is given
//	      ◀────────── Ready, or Refused ──────  could continue at once
//	      ─────────── Go ─────────────────────▶ continues
//	 ends
//
// # Decisions
//
// The old process decides, and only once. Until it sends Go it may continue itself, and the new process has sent no
// message to any peer. So there is no moment at which both processes serve, or neither. If the new process dies after
// Go, that is like an ordinary kill. TestFailedUpgrade in package node, TestUpgradesUnderLoad in e2e.
//
// The new process is a child of the old one. It has the same arguments, environment and standard files, and is in the
// same control group, so that a supervisor takes it for the same service.
//
// The socket preserves message boundaries (SOCK_SEQPACKET). A frame is one message or several, because the kernel
// bounds their size; files travel with the first. Input is bounded before it is kept, and the files of a refused frame
// are closed. TestHostileFrames, FuzzAssembler.
//
// The known library tableflip starts the new process and passes listeners, but for a while both processes accept
// connections. That is not possible here: the old process could read a datagram for a call that the new one already
// has.
package handover
