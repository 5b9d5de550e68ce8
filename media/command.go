package media

// op is what a command asks of a worker.
type op uint8

const (
	opOpen op = iota
	opPeer
	opRewrite
	opEvents
	opDigit
	opStart
	opClose
	opStop
)

// command is a request to a worker; which fields count depends on op.
type command struct {
	op      op
	relay   *relay
	side    Side
	peer    Peer // normalised
	rewrite Rewrite
	events  TelephoneEvents
	tone    tone
	done    chan error // capacity 1; nil: nobody waits
}
