package media

// op is what a command asks of a worker.
type op uint8

const (
	opOpen op = iota
	opPeer
	opCrypto
	opEvents
	opPayloads
	opDigit
	opPlay
	opStopPlay
	opTap
	opMask
	opStart
	opClose
	opStop
)

// command is a request to a worker; which fields count depends on op.
type command struct {
	op       op
	relay    *relay
	side     Side
	peer     Peer // normalised
	crypto   cryptoChange
	events   TelephoneEvents
	payloads [maxPayloadChanges]PayloadChange
	tone     tone
	play     Play
	tap      Tap
	mask     Mask
	done     chan error // capacity 1; nil: nobody waits
}
