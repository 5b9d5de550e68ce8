package gateway

import (
	"context"
	"sync"

	"github.com/coder/websocket"
)

const (
	// maxUnsent is how many batches of messages may wait for a bot's socket: five seconds of audio. The answers to all
	// marks that a bot clears are one batch.
	maxUnsent = 250
	// maxKept bounds the memory that an outbox keeps for its next messages, in bytes.
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

// writer writes the messages of an outbox to a socket, in their order.
type writer struct {
	ws     *websocket.Conn
	mu     sync.Mutex // held by the goroutine that writes; guards taken
	taken  outbox
	wanted chan struct{} // holds one value if messages wait that nobody else writes
}

// want lets the goroutine of the writer write.
func (w *writer) want() {
	select {
	case w.wanted <- struct{}{}:
	default:
	}
}

// write writes what waits, which take exchanges for an empty outbox, until nothing does. If it fails, the socket has
// broken, and the reader learns why.
func (w *writer) write(take func(*outbox)) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for {
		w.taken.empty()
		if take(&w.taken); len(w.taken.ends) == 0 {
			return nil
		}
		if err := w.taken.each(w.one); err != nil {
			return err
		}
	}
}

// one writes a message. w.mu must be held. It ends with the socket, which ends with the call: a context of its own
// would cost more than the message.
func (w *writer) one(message []byte) error {
	return w.ws.Write(context.Background(), websocket.MessageText, message)
}
