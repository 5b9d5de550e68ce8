package gateway

const (
	// maxUnsent is how many batches of messages may wait for a bot's socket: five seconds of audio. The answers to all
	// marks that a bot clears are one batch.
	maxUnsent = 250
	// maxKept bounds the memory that is kept for the next messages, in bytes.
	maxKept = 16 << 10
)

// outbox has messages that wait for a bot's socket. It is a value without I/O.
type outbox struct {
	text    []byte // the messages, back to back
	ends    []int  // where each of them ends in text
	batches int
}

// took adds the message that has been appended to o.text.
func (o *outbox) took(text []byte) { o.text, o.ends = text, append(o.ends, len(text)) }

// empty removes all messages. The memory stays for the next ones, unless there were very many.
func (o *outbox) empty() {
	if cap(o.text) > maxKept {
		o.text, o.ends = nil, nil
	}
	o.text, o.ends, o.batches = o.text[:0], o.ends[:0], 0
}

// each calls do for each message, in order, until it returns an error.
func (o *outbox) each(do func(message []byte) error) (err error) {
	begin := 0
	for _, end := range o.ends {
		if err = do(o.text[begin:end]); err != nil {
			return err
		}
		begin = end
	}
	return nil
}
