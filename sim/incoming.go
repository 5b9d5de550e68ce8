package sim

import (
	"fmt"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Side is one end of a call.
type Side string

// The two ends of a call.
const (
	SideCaller Side = "caller"
	SideAgent  Side = "agent"
)

// AgentCall is one INVITE as the agent saw it.
type AgentCall struct {
	Headers []string // every X- header line as received, without its line end, in order
	Raw     string   // the whole INVITE as received
	CallID  string

	InvitedAt  time.Time
	AnsweredAt time.Time
	EndedAt    time.Time
	EndedBy    Side   // empty before the end, and for an unanswered call
	Status     int    // final response, 0 while ringing
	Reason     string // reason phrase of the status

	Media
	ReInvites   int
	ReferTo     string // target of the transfer that the agent requested
	ReferStatus int    // the answer to its REFER
	ReferResult int    // how the transfer ended, as the other side reported it
	GotCancel   bool
	AckReceived bool
}

// cancel records that a CANCEL ended the call.
func (a *AgentCall) cancel() {
	a.GotCancel, a.AnsweredAt = true, time.Time{}
	a.Status, a.Reason = sip.StatusRequestTerminated, "Request Terminated"
}

// Address is a SIP URI without its parameters.
type Address struct {
	User string
	Host string
	Port int // 0 if there is none
}

// String returns the address as a URI.
func (a Address) String() string {
	if a.Port == 0 {
		return fmt.Sprintf("sip:%s@%s", a.User, a.Host)
	}
	return fmt.Sprintf("sip:%s@%s:%d", a.User, a.Host, a.Port)
}

// Invite holds the parts of an INVITE that a platform reads.
type Invite struct {
	To   Address // the Request-URI
	From Address
	req  *sip.Request
}

func inviteOf(req *sip.Request) Invite {
	to, from := req.Recipient, req.From().Address
	return Invite{To: Address{to.User, to.Host, to.Port}, From: Address{from.User, from.Host, from.Port}, req: req}
}

// Header returns the value of the first header of this name, or "".
func (i Invite) Header(name string) string {
	if h := i.req.GetHeader(name); h != nil {
		return h.Value()
	}
	return ""
}

// Referral is a transfer that an agent requests from the caller's side (RFC 3515).
type Referral struct {
	To      string   // value for Refer-To, without brackets
	Headers []Header // headers of the REFER
}

// Incoming is a call to an agent.
type Incoming struct {
	// Constant.
	Invite
	key       string
	tx        sip.ServerTransaction
	handler   Handler
	acked     *signal
	bye       *signal
	cancelled *signal
	referred  *signal // a transfer has ended
	ended     *signal

	// Set by the platform before the call is answered.
	Greets string    // text that selects the greeting; if empty, the agent does not greet
	Leaves bool      // the agent hangs up after the greeting
	Party  Party     // speaks in place of the greeting and the answers; may be nil
	Refers *Referral // the agent requests this transfer before it hangs up; may be nil

	mu     sync.Mutex // guards the fields below
	seen   AgentCall
	stream *stream
	answer []byte // the SDP that was sent
}

// newIncoming returns a call. The To of the INVITE must already have our tag.
func newIncoming(req *sip.Request, tx sip.ServerTransaction, raw string) *Incoming {
	c := &Incoming{
		Invite: inviteOf(req), key: dialogKey(req.CallID().Value(), tagOf(req.To().Params)), tx: tx,
		acked: newSignal(), bye: newSignal(), cancelled: newSignal(), referred: newSignal(), ended: newSignal(),
	}
	c.seen = AgentCall{Raw: raw, CallID: req.CallID().Value(), InvitedAt: time.Now()}
	if raw != "" {
		c.seen.Headers = extensionLines(raw)
	}
	return c
}

// update changes the agent's view of the call.
func (c *Incoming) update(f func(*AgentCall)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.seen)
}

// finish marks the call as over.
func (c *Incoming) finish() {
	c.update(func(seen *AgentCall) { seen.EndedAt = time.Now() })
	c.ended.set()
}

// Ended returns a channel that is closed when the call is over.
func (c *Incoming) Ended() <-chan struct{} { return c.ended.ch }

// Seen returns the agent's view of the call so far.
func (c *Incoming) Seen() AgentCall {
	c.mu.Lock()
	out, st := c.seen, c.stream
	c.mu.Unlock()
	if st != nil {
		out.Media = st.media(!out.EndedAt.IsZero())
	}
	return out
}

// signal is an event that happens at most once.
type signal struct {
	once sync.Once
	ch   chan struct{}
}

func newSignal() *signal { return &signal{ch: make(chan struct{})} }

func (s *signal) set() { s.once.Do(func() { close(s.ch) }) }
