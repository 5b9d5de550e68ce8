// Package handover passes what a running process has to the process that replaces it: data and open files, over a
// Unix socket that the old one gives to the new one at its start.
//
//	old                                        new
//	Start ─────────── argv, environment ─────▶ Inherited
//	      ─── Begin, Part, … End ─────────────▶ reads its configuration, opens what it can
//	      ◀────────── Loaded, or Refused ─────
//	 freezes
//	      ─── Begin, Part, Part, … End ───────▶ takes what it is given
//	      ◀────────── Ready, or Refused ──────  could go on at once
//	      ─────────── Go ─────────────────────▶ goes on
//	 ends
//
// # Decisions
//
// The old process decides, and once: until it has said Go it may go on itself, and the new one has said nothing to
// anybody. So there is no moment at which both serve, and none at which nobody would. A new process that dies after Go
// is one that was killed. TestFailedUpgrade in package node, TestUpgradesUnderLoad in e2e.
//
// The new process is a child of the old one. It has its arguments, environment and standard files, and is in its
// control group, so that a supervisor takes it for the same service.
//
// The socket keeps the bounds of messages (SOCK_SEQPACKET). A frame is one message or several, because the kernel
// bounds their size; files go with the first. What is read is bounded before it is kept, and the files of a frame that
// is refused are closed. TestHostileFrames, FuzzAssembler.
//
// A known library, tableflip, starts the new process and passes listeners, but has both processes accept for a while.
// Here a datagram that the old one would read belongs to a call which the new one has by then.
package handover
