package transport

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"

	"flowbridge/b2bua/message"
)

// maxHeld bounds the requests that are held. Others are repeated by their peers.
const maxHeld = 4096

// held are requests of new calls that wait, with their CANCELs.
type held struct {
	on atomic.Bool

	mu       sync.Mutex // guards what follows
	messages []heldMessage
}

type heldMessage struct {
	text   []byte
	from   arrival
	branch string
}

// Hold keeps new calls waiting until Release, so that those under way can become idle. Their INVITEs are
// kept, and their CANCELs behind them.
func (s *Stack) Hold() { s.held.on.Store(true) }

// Release handles what was held, one after the other: who came first has the first turn.
func (s *Stack) Release() {
	s.held.on.Store(false)
	s.held.mu.Lock()
	all := s.held.messages
	s.held.messages = nil
	s.held.mu.Unlock()
	r := s.turns.newReader(func() {}) // of messages that are read already
	defer s.turns.forget(r)
	for _, m := range all {
		r.startMessage()
		s.receive(m.text, m.from)
		r.run(0)
	}
}

// hold keeps a message if it begins a call, or cancels one that is held.
func (s *Stack) hold(text []byte, from arrival) bool {
	if !bytes.HasPrefix(text, []byte("INVITE ")) && !bytes.HasPrefix(text, []byte("CANCEL ")) {
		return false
	}
	msg, ok := message.Scan(text)
	if !ok || len(msg.ToTag) > 0 || nameOf(from.over) == "" { // what comes over TLS can't go to another process
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
	case !cancels && twin, len(s.held.messages) >= maxHeld: // a copy
		return true
	}
	s.held.messages = append(s.held.messages, heldMessage{text: slices.Clone(text), from: from, branch: branch})
	return true
}
