package transport

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"

	"flowbridge/b2bua/message"
)

// maxHeld bounds the number of held messages. Further messages are dropped; their senders repeat them.
const maxHeld = 4096

// held stores INVITEs of new calls while new calls have to wait, and the CANCELs of these INVITEs.
type held struct {
	on atomic.Bool

	mu       sync.Mutex // guards the fields below
	messages []heldMessage
}

type heldMessage struct {
	text   []byte
	from   arrival
	branch string
}

// Hold makes new calls wait until Release, so that all live calls can become idle. Their INVITEs, and the CANCELs of
// these, are stored.
func (s *Stack) Hold() { s.held.on.Store(true) }

// Release handles the held messages in the order in which they arrived.
func (s *Stack) Release() {
	s.held.on.Store(false)
	s.held.mu.Lock()
	all := s.held.messages
	s.held.messages = nil
	s.held.mu.Unlock()
	r := s.turns.newReader(func() {}) // stands in for a socket's reader, because the messages were read before
	defer s.turns.forget(r)
	for _, m := range all {
		r.startMessage()
		s.receive(m.text, m.from)
		r.run(0)
	}
}

// hold stores a message if it starts a call, or cancels a held INVITE. It returns false if the message must be handled
// now.
func (s *Stack) hold(text []byte, from arrival) bool {
	if !bytes.HasPrefix(text, []byte("INVITE ")) && !bytes.HasPrefix(text, []byte("CANCEL ")) {
		return false
	}
	msg, ok := message.Scan(text)
	if !ok || len(msg.ToTag) > 0 || nameOf(from.over) == "" { // a TLS connection can't be handed over
		return false
	}
	branch := string(msg.Branch)
	cancels := text[0] == 'C'
	s.held.mu.Lock()
	defer s.held.mu.Unlock()
	twin := slices.ContainsFunc(s.held.messages,
		func(m heldMessage) bool { return m.branch == branch && m.from.source == from.source })
	switch {
	case !s.held.on.Load(), cancels && !twin:
		return false
	case !cancels && twin, len(s.held.messages) >= maxHeld: // a copy of a held INVITE, or no room
		return true
	}
	s.held.messages = append(s.held.messages, heldMessage{text: slices.Clone(text), from: from, branch: branch})
	return true
}
