package transaction

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
)

// Server is a peer's request, which is remembered until no more copies of it can come.
type Server struct {
	transaction
	key        Key
	seq        uint32
	sameBranch *Server      // an earlier request with the same branch; nil if none
	req        *sip.Request // the INVITE or CANCEL, until its final answer
	cancelled  bool
	cancel     *sip.Request // a CANCEL that came before OnCancel was called
	onCancel   func(cancel *sip.Request)
	taken      func()
	settled    func()
}

// Receive returns the transaction of a new request other than ACK. For a copy it sends the last answer again and
// returns nil. twin is the unanswered CANCEL of an INVITE, or the INVITE of a CANCEL.
func (t *Table) Receive(req *sip.Request, key Key, way Way) (tx, twin *Server) {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, nil
	}
	// A request with another CSeq is not a copy, even if its peer reuses the branch (RFC 3261 section 8.1.1.7).
	known := t.servers[key]
	if known != nil && (known.seq == req.CSeq().SeqNo || known.state <= proceeding) {
		t.resendAnswer(known)
		return nil, nil
	}
	defer t.mu.Unlock()
	s := &Server{transaction: transaction{
		machine: machine{kind: otherServer, reliable: way.Reliable, keep: Patience},
		table:   t, way: way,
	}, key: key, seq: req.CSeq().SeqNo, sameBranch: known}
	if known != nil {
		known.sameBranch = nil
	}
	switch key.method { //nolint:exhaustive // methods beyond these three are alike
	case sip.INVITE:
		s.kind, s.req = inviteServer, req
		if twin = t.twin(key); twin != nil && twin.state > proceeding {
			twin = nil
		}
	case sip.CANCEL:
		s.req, twin = req, t.twin(key)
	case sip.BYE:
		s.keep = T4 // see doc.go
	}
	s.begin(t.now())
	t.servers[key] = s
	t.settle(s)
	return s, twin
}

func (t *Table) twin(key Key) *Server {
	for _, k := range key.twins() {
		if s := t.servers[k]; s != nil {
			return s
		}
	}
	return nil
}

// resendAnswer sends the last answer again. It releases the lock.
func (t *Table) resendAnswer(s *Server) {
	b := message.TakeBuffer()
	defer b.Release()
	if s.step(t.now(), repeated)&resend != 0 {
		b.Bytes = append(b.Bytes, s.text...)
	}
	way := s.way
	t.mu.Unlock()
	if len(b.Bytes) > 0 {
		_ = s.send(way, b.Bytes)
	}
}

// Acknowledge passes an ACK to its INVITE, and reports whether the ACK has been handled.
// The ACK of a 2xx is for the dialog, and its branch does not matter. If two INVITEs have
// the same branch, the ACK belongs to the one with its CSeq number (RFC 3261 section
// 17.1.1.3).
func (t *Table) Acknowledge(key Key, seq uint32) bool {
	t.mu.Lock()
	s := t.servers[key]
	if s != nil && s.seq != seq && s.sameBranch != nil && s.sameBranch.seq == seq && s.sameBranch.state != terminated {
		s = s.sameBranch
	}
	if s == nil {
		t.mu.Unlock()
		return false
	}
	passed := s.step(t.now(), acknowledged)&pass != 0
	t.settle(s)
	settled := settledOf(s)
	t.mu.Unlock()
	if settled != nil {
		settled()
	}
	return !passed
}

// OnSettled makes the server call f when the refusal of an INVITE has its ACK, or is no longer repeated. f must not
// block.
func (s *Server) OnSettled(f func()) {
	s.table.mu.Lock()
	waits := s.state == completed
	if waits {
		s.settled = f
	}
	s.table.mu.Unlock()
	if !waits {
		f()
	}
}

// settledOf returns the function to call after a step, without the lock, or nil.
func settledOf(m member) (f func()) {
	if s, ok := m.(*Server); ok && s.state > completed {
		f, s.settled = s.settled, nil
	}
	return f
}

// Accepted records that another process has sent a 2xx to the INVITE. A CANCEL that comes now has no effect (RFC 3261
// section 9.2).
func (s *Server) Accepted() {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if s.step(s.table.now(), success)&pass != 0 {
		s.req = nil
		s.table.settle(s)
	}
}

// Acknowledged records that the 2xx to an INVITE has its ACK, which only the dialog
// recognises. If the INVITE comes again, even minutes later, it gets no answer.
func (s *Server) Acknowledged() {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	switch s.state {
	case accepted:
		s.step(s.table.now(), acknowledged)
		s.table.settle(s)
	case trying, proceeding:
		s.table.remove(s)
		s.req, s.onCancel, s.taken = nil, nil, nil
	case completed, confirmed, terminated:
	}
}

// Respond sends an answer. It returns ErrCancelled if a CANCEL came first, so that the
// request has its answer, and ErrAnswered if the request has one for another reason.
func (s *Server) Respond(res *sip.Response) error {
	b := message.TakeBuffer()
	defer b.Release()
	b.Append(res)
	return s.respond(inputOf(res), b.Bytes, false)
}

// Trying answers an INVITE with 100, unless it has had an answer. It returns the errors of Respond.
func (s *Server) Trying(req *sip.Request) error {
	s.table.mu.Lock()
	answered := s.text != nil && !s.cancelled
	s.table.mu.Unlock()
	if answered {
		return nil
	}
	b := message.TakeBuffer()
	defer b.Release()
	b.AppendTrying(req)
	return s.respond(provisional, b.Bytes, false)
}

func (s *Server) respond(in input, text []byte, cancels bool) error {
	t := s.table
	t.mu.Lock()
	if s.cancelled && !cancels {
		t.mu.Unlock()
		return ErrCancelled
	}
	do, way := s.step(t.now(), in), s.way
	if do&pass == 0 {
		t.mu.Unlock()
		return ErrAnswered
	}
	switch {
	case s.state == accepted: // the user sends a 2xx again
		t.reuse(s.text)
		s.text, s.req, s.onCancel, s.taken = nil, nil, nil, nil
	case s.state == completed:
		s.req, s.onCancel, s.taken = nil, nil, nil
		t.keep(&s.transaction, text)
	case s.state != terminated:
		t.keep(&s.transaction, text)
	}
	t.settle(s)
	t.mu.Unlock()
	return s.send(way, text)
}

func (s *Server) send(way Way, text []byte) error {
	err := way.Over.Send(text, way.To)
	if err != nil {
		s.table.fail(s, err)
	}
	return err
}

// Request returns the peer's INVITE or CANCEL, or nil once it has a final answer. For other methods it returns nil.
func (s *Server) Request() *sip.Request {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	return s.req
}

// OnCancel records that the INVITE is being handled, and makes the server call f when the INVITE is cancelled. If it
// was cancelled already, f is called at once, otherwise on another goroutine. f must not block.
func (s *Server) OnCancel(f func(cancel *sip.Request)) {
	s.table.mu.Lock()
	cancel, taken := s.cancel, s.taken
	if s.cancel, s.taken = nil, nil; !s.cancelled && s.state != terminated {
		s.onCancel = f
	}
	s.table.mu.Unlock()
	if cancel != nil {
		f(cancel)
	}
	if taken != nil {
		taken()
	}
}

// OnTaken makes the server call f when OnCancel is called. It must be called before that is possible.
func (s *Server) OnTaken(f func()) {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	s.taken = f
}

// IsReliable reports whether answers go over a connection, so that sending one may block.
func (s *Server) IsReliable() bool { return s.reliable }

// Cancel ends an INVITE without a final answer because of a CANCEL, with 487 (RFC 3261
// section 9.2).
func (s *Server) Cancel(cancel *sip.Request) {
	s.table.mu.Lock()
	req, onCancel := s.req, s.onCancel
	can := s.state == proceeding && !s.cancelled && req != nil
	if can {
		s.cancelled = true
	}
	if can && onCancel == nil {
		s.cancel = cancel
	}
	s.table.mu.Unlock()
	if !can {
		return
	}
	if onCancel != nil {
		onCancel(cancel)
	}
	b := message.TakeBuffer()
	defer b.Release()
	b.Append(sip.NewResponseFromRequest(req, 487, message.StatusText(487), nil))
	_ = s.respond(refusal, b.Bytes, true)
}

// Terminate forgets a request. A copy of it then counts as a new request.
func (s *Server) Terminate() {
	s.table.mu.Lock()
	defer s.table.mu.Unlock()
	if s.state != terminated {
		s.table.remove(s)
	}
	s.req, s.cancel, s.onCancel, s.taken = nil, nil, nil, nil
}

func (s *Server) common() *transaction { return &s.transaction }

func (s *Server) forget() {
	if s.table.servers[s.key] == s { // not a later request with the same key
		delete(s.table.servers, s.key)
	}
}
