package record

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/google/uuid"
)

// The values of Record.Disposition.
const (
	DispositionAnswered    = "answered"
	DispositionNoAnswer    = "no_answer"
	DispositionBusy        = "busy"
	DispositionFailed      = "failed"
	DispositionCancelled   = "cancelled"
	DispositionInterrupted = "interrupted"
)

// The values of Record.EndedBy.
const (
	EndedByCaller   = "caller"
	EndedByAgent    = "agent"
	EndedBySystem   = "system"
	EndedByOperator = "operator"
)

// CauseProcessRestart is the cause of a call whose end the process did not live to see.
const CauseProcessRestart = "process_restart"

// Dispositions lists every value of Record.Disposition.
func Dispositions() []string {
	return []string{
		DispositionAnswered, DispositionNoAnswer, DispositionBusy, DispositionFailed, DispositionCancelled,
		DispositionInterrupted,
	}
}

// The values of Record.Direction.
const (
	// DirectionInbound is a call that the customer placed.
	DirectionInbound = "inbound"
	// DirectionOutbound is a call to the customer. A target placed it, or a PBX, which then handed it over.
	DirectionOutbound = "outbound"
)

// Directions lists every value of Record.Direction.
func Directions() []string { return []string{DirectionInbound, DirectionOutbound} }

// Record is the CDR of one call. The JSON names are also the columns and part of the admin API.
type Record struct {
	ID              string `json:"id"`
	Node            string `json:"node"`
	Trunk           string `json:"trunk"`
	Route           string `json:"route"`
	Target          string `json:"target"`
	Direction       string `json:"direction"`
	From            string `json:"from"`
	To              string `json:"to"`
	SIPCallID       string `json:"sip_call_id"`
	TargetSIPCallID string `json:"target_sip_call_id"`
	SynthflowCallID string `json:"synthflow_call_id"`

	StartedAt  Time `json:"started_at"`
	RingingAt  Time `json:"ringing_at"`
	PreparedAt Time `json:"prepared_at"`
	DialedAt   Time `json:"dialed_at"`
	AnsweredAt Time `json:"answered_at"`
	EndedAt    Time `json:"ended_at"`

	SetupMS     int64  `json:"setup_ms"`
	DurationMS  int64  `json:"duration_ms"`
	Disposition string `json:"disposition"`
	SIPStatus   int    `json:"sip_status"`
	Q850        int    `json:"q850"`
	Cause       string `json:"cause"`
	EndedBy     string `json:"ended_by"`
	Codec       string `json:"codec"`

	Attempts []Attempt `json:"attempts"`
	Media    Media     `json:"media"`

	Recordings []Recording `json:"recordings"`

	// Lead is the customer's number: From, or To of an outbound call.
	Lead string `json:"lead"`
	// ExternalID is the id that the platform got in X-EI: its E token, or the bare value. Empty: none.
	ExternalID string `json:"external_id"`
	// TraceID is the id of the call's trace, 32 hex digits. Empty: it was not traced.
	TraceID string `json:"trace_id"`
	// Traceparent is the header that the caller brought; empty: none. It is not kept.
	Traceparent string `json:"-"`
	// Restored is how often another process went on with the call, because its own was killed. Upgrades do not count.
	Restored int `json:"restored"`
	// QueuedMS is how long the caller waited for a place at a target. 0: it did not have to.
	QueuedMS int64 `json:"queued_ms"`
	// Waiting says that the caller of a live call waits for one now. It is not kept.
	Waiting bool `json:"-"`
	// Placed says that a request has ordered a live call. It is not kept: ReasonCustomer says it in a record.
	Placed bool `json:"-"`
	// Verstat is what the verification of the caller says: TN-Validation-Passed, TN-Validation-Failed or No-TN-Validation.
	// Empty: the trunk's calls are not verified.
	Verstat string `json:"verstat"`
	// Attest is A, B or C, where the call has passed.
	Attest string `json:"attest"`
	// OrigID is the origid of a call that has passed.
	OrigID string `json:"orig_id"`
	// Talk is what the conversation was like. nil: the call was not answered, or media.insight is off.
	Talk *Talk `json:"talk"`
	// Variables are set by orders, and by the request that placed the call. The keys are names. nil: none was set.
	Variables map[string]string `json:"variables"`
	// Problems are those of the words of Problems that the rest of the record tells of. They are found when it is read.
	Problems []string `json:"problems,omitempty"`
	// Report is what the platform said of the call afterwards; nil, and null in JSON, before that.
	Report *Report `json:"report"`
}

// Recording is one file that a call was recorded to.
type Recording struct {
	// File is its name below recording.path. Empty: there is none, see Error.
	File string `json:"file"`
	// Format is wav or pcapng.
	Format    string `json:"format"`
	StartedAt Time   `json:"started_at"`
	EndedAt   Time   `json:"ended_at"`
	Bytes     int64  `json:"bytes"`
	// Dropped counts the packets and SIP messages that are missing because the disk was too slow.
	Dropped int64 `json:"dropped"`
	// Error is why the recording ended early or was not begun. Empty: neither.
	Error string `json:"error,omitempty"`
}

// The reasons of attempts that are not for the call's route.
const (
	ReasonSplit    = "split"    // the route's split has chosen the target
	ReasonTransfer = "transfer" // a REFER of the agent
	ReasonRescue   = "rescue"   // the agent's leg has died
	ReasonCustomer = "customer" // the customer of a call that we place is called
)

// Attempt is one try at one target.
type Attempt struct {
	Target string `json:"target"`
	// Reason is why the attempt was made: empty for the route of the call, ReasonSplit, ReasonTransfer,
	// ReasonRescue or ReasonCustomer.
	Reason string `json:"reason,omitempty"`
	// By is the name of the token that ordered a transfer or a placed call. Empty: no token ordered the attempt.
	By            string `json:"by,omitempty"`
	PrepareMS     int64  `json:"prepare_ms"`
	PrepareStatus int    `json:"prepare_status"`
	SIPStatus     int    `json:"sip_status"`
	Cause         string `json:"cause"`
	MS            int64  `json:"ms"`
	// AnsweredBy is who answered a call that we placed: human, machine, fax, sit or unknown. Empty: nobody asked, or it is
	// not known yet. Confidence says how clearly that was heard, from 0.5, just enough, to 1.
	AnsweredBy string  `json:"answered_by,omitempty"`
	Confidence float64 `json:"confidence,omitempty"`
	// StartedAt is when it began.
	StartedAt Time `json:"started_at,omitzero"`
	// SIPCallID is the Call-ID of its INVITE. Empty: none was sent.
	SIPCallID string `json:"sip_call_id,omitempty"`
	// Transport is the transport of the INVITE: udp, tcp or tls. Empty: none was sent.
	Transport string `json:"transport,omitempty"`
	// Tried are the addresses of the target that failed before the last one, as transport://address:port, each with how.
	// Of Contacts that only another node reaches, how is where they have registered.
	Tried []string `json:"tried,omitempty"`
	// DroppedHeaders names the headers that were left out of the INVITE.
	DroppedHeaders []string `json:"dropped_headers,omitempty"`
}

// Media counts the RTP of both legs.
type Media struct {
	A MediaSide `json:"a"`
	B MediaSide `json:"b"`
	// MOS is the worse of both sides' (SetMOS).
	MOS Score `json:"mos"`
	// OneWay is the side, a or b, from which nothing was heard at the start of the call. Empty: both were heard.
	OneWay string `json:"one_way,omitempty"`
	// GapMS is how long no process was there for the packets of a leg, because its own was killed: of the leg that has
	// missed more.
	GapMS int64 `json:"gap_ms,omitempty"`
}

// Score is a mean opinion score, 1 to 5; 0, and null in JSON, where it was not measured.
type Score float64

// MarshalJSON returns the number, or null for zero.
func (s Score) MarshalJSON() ([]byte, error) {
	if s == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(float64(s))
}

// Millis is a time in milliseconds; 0, and null in JSON, where it was not measured.
type Millis float64

// MarshalJSON returns the number, or null for zero.
func (m Millis) MarshalJSON() ([]byte, error) { return Score(m).MarshalJSON() }

// SetMOS makes the MOS the worse of both sides'. With a mute side there is none: the other's would be said of both.
func (m *Media) SetMOS() {
	m.MOS = m.A.MOS
	if m.MOS == 0 || m.B.MOS != 0 && m.B.MOS < m.MOS {
		m.MOS = m.B.MOS
	}
	if m.OneWay == "a" && m.A.MOS == 0 || m.OneWay == "b" && m.B.MOS == 0 {
		m.MOS = 0
	}
}

// MediaSide counts the RTP packets of one leg.
type MediaSide struct {
	Rx        int64     `json:"rx"`
	Tx        int64     `json:"tx"`
	Lost      int64     `json:"lost"`
	Dropped   int64     `json:"dropped"`
	DroppedBy DroppedBy `json:"dropped_by"`
	JitterMS  float64   `json:"jitter_ms"`
	// Duplicates, of Rx, had come already; Reordered came after a later one.
	Duplicates int64 `json:"duplicates"`
	Reordered  int64 `json:"reordered"`
	// Bursts is how many runs of packets were lost.
	Bursts int64 `json:"bursts"`
	// Late, of Rx, came over 200 ms later than others: a phone drops them, so they count as lost in the MOS.
	Late int64 `json:"late,omitempty"`
	// SSRCChanges is how often the leg began another stream from the same address.
	SSRCChanges int64 `json:"ssrc_changes"`
	// RTT is the round trip between us and the leg's peer.
	RTT Millis `json:"rtt_ms"`
	// MOS is the MOS of the audio that was received from the leg.
	MOS Score `json:"mos"`
	// Codec is the leg's last codec. It differs between the legs if PCMU was converted to PCMA.
	Codec string `json:"codec,omitempty"`
	// Expected is where its last description wanted RTP. Source is where its RTP came from and went to. Empty:
	// nowhere.
	Expected string `json:"expected,omitempty"`
	Source   string `json:"source,omitempty"`
	// Refused is a source of RTP that was not accepted; empty: none was refused for its address.
	Refused string `json:"refused,omitempty"`
	// SRTP is the suite that last secured the leg; empty: plain RTP.
	SRTP string `json:"srtp,omitempty"`
}

// DroppedBy is Dropped by reason. JSON leaves out reasons that did not occur.
type DroppedBy struct {
	WrongSource   int64 `json:"wrong_source,omitempty"`
	Unproven      int64 `json:"unproven,omitempty"`
	WrongSSRC     int64 `json:"wrong_ssrc,omitempty"`
	Unauthentic   int64 `json:"unauthentic,omitempty"`
	Replayed      int64 `json:"replayed,omitempty"`
	Malformed     int64 `json:"malformed,omitempty"`
	NoDestination int64 `json:"no_destination,omitempty"`
	Oversize      int64 `json:"oversize,omitempty"`
	SendError     int64 `json:"send_error,omitempty"`
	Held          int64 `json:"held,omitempty"`
	Diverted      int64 `json:"diverted,omitempty"`
	Replaced      int64 `json:"replaced,omitempty"`
	Discarded     int64 `json:"discarded,omitempty"`
	Unprotected   int64 `json:"unprotected,omitempty"`
	Masked        int64 `json:"masked,omitempty"`
	Unconfirmed   int64 `json:"unconfirmed,omitempty"`
}

// Prepared reports whether an attempt asked its platform's API.
func (a *Attempt) Prepared() bool {
	return a.PrepareMS > 0 || a.PrepareStatus > 0 || a.FailedToPrepare()
}

// FailedToPrepare reports whether an attempt ended because its platform's API gave no id.
func (a *Attempt) FailedToPrepare() bool { return strings.HasPrefix(a.Cause, "prepare_") }

// IsPlaced reports whether a request has ordered the call.
func (r *Record) IsPlaced() bool {
	return r.Placed || len(r.Attempts) > 0 && r.Attempts[0].Reason == ReasonCustomer
}

// AnsweredCustomer returns the attempt that the customer of a placed call has answered; nil: none.
func AnsweredCustomer(attempts []Attempt) *Attempt {
	for i := range attempts {
		if a := &attempts[i]; a.Reason == ReasonCustomer && a.SIPStatus == 200 && a.Cause == "" {
			return a
		}
	}
	return nil
}

// IsConnected reports whether an agent has answered a call that a request has ordered.
func (r *Record) IsConnected() bool {
	return slices.ContainsFunc(r.Attempts, func(a Attempt) bool {
		return a.Reason != ReasonCustomer && a.SIPStatus == 200 && a.Cause == ""
	})
}

// IDOf is the id of the call that a request with an idempotency key places. It is not sortable by time.
func IDOf(key string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("flowbridge:call:"+key)).String()
}

// NewID is a call's id: sortable by time, unique over nodes.
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}
