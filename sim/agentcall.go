package sim

import (
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"
)

// Side is one end of a call.
type Side string

// The two ends.
const (
	SideCaller Side = "caller"
	SideAgent  Side = "agent"
)

// AgentCall is what the agent saw of one INVITE.
type AgentCall struct {
	SynthflowID string   // of an accepted call
	XEI         string   // the X-EI header line as it was on the wire, without its line end
	Headers     []string // every X- header line, likewise, in order
	Raw         string   // the whole INVITE as it was on the wire
	RequestURI  string
	From        string
	PAI         string // P-Asserted-Identity
	CallID      string
	MaxForwards int

	ModelID        string            // of the agent, where it is known
	ExternalID     string            // E token of X-EI, or a bare X-EI
	Diversion      string            // O token of X-EI, or the number in Diversion or X-Diversion
	Variables      map[string]string // X- headers but X-EI, by name as it was on the wire
	IgnoredHeaders int               // X- headers whose name no variable can have, or that came twice
	Fetched        map[string]string // what the pre-action gave, by dotted path
	FetchError     string            // why it gave nothing; empty where it did, or there is none
	WebhookTries   int               // deliveries of the webhook after the call
	WebhookStatus  int               // HTTP status of the last one; 0: none, or no answer

	InvitedAt  time.Time
	AnsweredAt time.Time
	EndedAt    time.Time
	EndedBy    Side   // empty while it lasts, and for a call that was not answered
	Status     int    // final response, 0 while ringing
	Reason     string // its reason phrase

	Heard       []int16 // the first 20 s, decoded, 8 kHz
	Digits      string
	RTP         RTPStats
	SentMarks   []PacketMark // only of an ended call
	HeardMarks  []PacketMark
	ReInvites   int
	ReferTo     string // where the agent asked to be transferred to
	ReferStatus int    // the answer to its REFER
	ReferResult int    // what became of it, as the other side told
	GotCancel   bool
	AckReceived bool
}

// agentCall is an INVITE from its arrival to its end.
type agentCall struct {
	// constant
	key      string
	tag      string
	acked    *signal
	bye      *signal
	referred *signal // a transfer has come to an end
	ended    *signal

	// set before the call is remembered
	id   string
	line *vapiLine // that was called; of Vapi's calls only

	// set before the call is answered
	greets string    // what the greeting is made of; empty: the agent waits for the caller
	leaves bool      // the agent hangs up when it has greeted
	refers *referral // but transfers the call before; nil: does not

	mu     sync.Mutex // guards what follows
	seen   AgentCall
	vapi   VapiCall // of Vapi's calls only
	stream *stream
	answer []byte
	book   synthflowBook // of Synthflow's calls only
}

func newAgentCall(req *sip.Request, tag, raw string) *agentCall {
	c := &agentCall{
		key:      dialogKey(req.CallID().Value(), tag),
		tag:      tag,
		acked:    newSignal(),
		bye:      newSignal(),
		referred: newSignal(),
		ended:    newSignal(),
	}
	c.seen = AgentCall{
		Raw:        raw,
		RequestURI: req.Recipient.String(),
		From:       req.From().Value(),
		CallID:     req.CallID().Value(),
		InvitedAt:  time.Now(),
	}
	if raw != "" {
		c.seen.Headers = extensionLines(raw)
	}
	for _, line := range c.seen.Headers {
		if isXEI(line) {
			c.seen.XEI = line
		}
	}
	if h := req.GetHeader("P-Asserted-Identity"); h != nil {
		c.seen.PAI = h.Value()
	}
	if h := req.MaxForwards(); h != nil {
		c.seen.MaxForwards = int(h.Val())
	}
	return c
}

func isXEI(line string) bool {
	name, _, _ := strings.Cut(line, ":")
	return strings.EqualFold(strings.TrimSpace(name), "X-EI")
}

func countXEI(lines []string) int {
	n := 0
	for _, line := range lines {
		if isXEI(line) {
			n++
		}
	}
	return n
}

// update changes what is seen of the call.
func (c *agentCall) update(f func(*AgentCall)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f(&c.seen)
}

// finish is the last thing that happens to a call.
func (c *agentCall) finish() {
	c.update(func(seen *AgentCall) { seen.EndedAt = time.Now() })
	c.ended.set()
}

func (c *agentCall) snapshot() AgentCall {
	c.mu.Lock()
	out, st := c.seen, c.stream
	c.mu.Unlock()
	if st == nil {
		return out
	}
	out.Heard = st.heard()
	out.Digits = st.digits()
	out.RTP = st.stats()
	out.HeardMarks = st.heardMarks()
	if !out.EndedAt.IsZero() {
		out.SentMarks = st.sentMarks
	}
	return out
}
