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

// CauseProcessRestart is the cause of a call that ended while no process was running.
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
	// DirectionOutbound is a call to the customer, placed by a target, or by a PBX that then handed it over.
	DirectionOutbound = "outbound"
)

// Directions lists every value of Record.Direction.
func Directions() []string { return []string{DirectionInbound, DirectionOutbound} }

// Record is the CDR of one call. Its fields are the table of what a record has: the names in JSON are those of the
// database's columns and of the CSV. A comment that does not begin with its field's name is the description in the
// admin API (admin/openapi.yaml, by go generate ./admin), with the values of the tag enum and the limits of the tag
// api. In the CSV a field is put before the column that its tag csv names.
type Record struct {
	// Flowbridge's id: ordered by time.
	ID string `json:"id" api:"minLength: 1"`
	// Host name of the node that had the call.
	Node string `json:"node"`
	// Name of the trunk. Of an outbound call that a target placed: the trunk that took or last refused it.
	Trunk string `json:"trunk"`
	// Name of the route, or its place (routes[0]). A call that Twilio dials by Flowbridge's TwiML has hooks.twilio or
	// hooks.twilio.rules[0], no trunk, codec and media, its CallSid as sip_call_id, and Twilio's times in whole seconds.
	Route string `json:"route"`
	// The target, or called trunk, that took or last refused the call. Of a placed call whose customer did not answer:
	// the target that was to take it.
	Target string `json:"target"`
	// outbound: a call to the customer, of a route with that direction or placed by a target.
	Direction string `json:"direction" enum:"inbound outbound"`
	// Number of the caller, normalised with the trunk's country.
	From string `json:"from"`
	// Called number, normalised with the trunk's country.
	To string `json:"to"`
	// The caller's Call-ID.
	SIPCallID string `json:"sip_call_id"`
	// Flowbridge's Call-ID toward the called party.
	TargetSIPCallID string `json:"target_sip_call_id"`
	// The platform's id.
	SynthflowCallID string `json:"synthflow_call_id"`

	StartedAt  Time `json:"started_at"`
	RingingAt  Time `json:"ringing_at"`
	PreparedAt Time `json:"prepared_at"`
	DialedAt   Time `json:"dialed_at"`
	AnsweredAt Time `json:"answered_at"`
	// An interrupted call without answer has ended when the next process sends its caller 500. Where it can't, and for
	// answered calls, it has ended with the kill, to a tenth of a second.
	EndedAt Time `json:"ended_at"`

	// From the INVITE to the 200.
	SetupMS int64 `json:"setup_ms"`
	// From the 200 to the end.
	DurationMS  int64  `json:"duration_ms"`
	Disposition string `json:"disposition" enum:"answered no_answer busy failed cancelled interrupted"`
	// The carrier's final answer.
	SIPStatus int `json:"sip_status"`
	// The ISDN cause.
	Q850 int `json:"q850"`
	// See docs/causes.md.
	Cause string `json:"cause"`
	// caller: the party that placed the call. agent: the party that took it.
	EndedBy string `json:"ended_by" enum:"caller agent system operator"`
	// Of the answer.
	Codec string `json:"codec"`

	// In order.
	Attempts []Attempt `json:"attempts"`
	Media    Media     `json:"media"`

	// Its files.
	Recordings []Recording `json:"recordings"`

	// The customer's number.
	Lead string `json:"lead" csv:"sip_call_id"`
	// The id that X-EI told the platform beside its own: the E token, or a bare value.
	ExternalID string `json:"external_id" csv:"started_at"`
	// Of the call's trace. Empty: it was not traced.
	TraceID string `json:"trace_id" csv:"started_at" api:"pattern: \"^([0-9a-f]{32})?$\""`
	// Traceparent is the caller's traceparent header, if any. It is not stored.
	Traceparent string `json:"-"`
	// How often another process went on with the call, because its own was killed. Upgrades do not count.
	Restored int `json:"restored" csv:"started_at" api:"minimum: 0"`
	// How long the caller waited for a place at a target. 0: it did not have to.
	QueuedMS int64 `json:"queued_ms" csv:"started_at" api:"minimum: 0"`
	// Waiting says that the caller of a live call is waiting for such a place. It is not stored.
	Waiting bool `json:"-"`
	// Placed says that a request ordered the live call. It is not stored: in a record, ReasonCustomer says so.
	Placed bool `json:"-"`
	// What the verification of the caller says. Empty: the trunk's calls are not verified.
	Verstat string `json:"verstat" csv:"started_at" enum:"TN-Validation-Passed TN-Validation-Failed No-TN-Validation"`
	// Attestation of a caller that has passed.
	Attest string `json:"attest" csv:"started_at" enum:"A B C"`
	// The origid of a call that has passed.
	OrigID string `json:"orig_id" csv:"started_at"`
	// Talk describes the conversation. It is nil if the call was not answered, or if media.insight is off.
	Talk *Talk `json:"talk"`
	// Variables are set by orders, and by the request that placed the call. The keys are the variables' names. It is nil
	// if there are none.
	Variables map[string]string `json:"variables"`
	// When the first agent answered, if the caller was told something: answered_at is then our own answer, or the
	// customer's. Left out where there was none.
	AgentAnsweredAt Time `json:"agent_answered_at,omitzero"`
	// Told is what the caller was told before the agent was connected. It is nil if the call's route has no tell, or if
	// the call ended before the statement was due.
	Told *Told `json:"told,omitempty"`
	// Left out where there was none.
	Problems []string `json:"problems,omitempty" api:"CallProblem"`
	// Report is the platform's later report of the call. It is nil, and null in JSON, before that.
	Report *Report `json:"report"`
}

// Recording is one file with a recording of a call, or a listener who heard it live.
type Recording struct {
	// File is its name below recording.path. It is empty if there is no file: see Error.
	File string `json:"file"`
	// By is the name of the listener's token. It is empty for a file.
	By string `json:"by,omitempty"`
	// Format is wav or pcapng, or FormatLive.
	Format    string `json:"format"`
	StartedAt Time   `json:"started_at"`
	EndedAt   Time   `json:"ended_at"`
	Bytes     int64  `json:"bytes"`
	// Dropped counts the packets and SIP messages that are missing because the disk was too slow.
	Dropped int64 `json:"dropped"`
	// Error is why the recording ended early or did not start. It may be empty.
	Error string `json:"error,omitempty"`
}

// FormatLive is the format of a listener's entry among the recordings.
const FormatLive = "live"

// Reasons of attempts that are not made because of the call's route.
const (
	ReasonSplit    = "split"    // the route's split chose the target
	ReasonTransfer = "transfer" // the agent sent a REFER
	ReasonRescue   = "rescue"   // the agent's leg has died
	ReasonCustomer = "customer" // a call to the customer that we place
)

// Attempt is one try at one target.
type Attempt struct {
	Target string `json:"target"`
	// Reason is why the attempt was made: empty for the route of the call, ReasonSplit, ReasonTransfer,
	// ReasonRescue or ReasonCustomer.
	Reason string `json:"reason,omitempty"`
	// By is the name of the token that ordered a transfer or a placed call. It is empty if no token ordered the attempt.
	By            string `json:"by,omitempty"`
	PrepareMS     int64  `json:"prepare_ms"`
	PrepareStatus int    `json:"prepare_status"`
	SIPStatus     int    `json:"sip_status"`
	Cause         string `json:"cause"`
	// Error says in words what the cause leaves open, such as the version of TLS that the target speaks. It has at most
	// 200 bytes, and is empty if there is no more to say.
	Error string `json:"error,omitempty"`
	MS    int64  `json:"ms"`
	// AnsweredBy is what answered a call that we placed: human, machine, screening, fax, sit or unknown. It is empty
	// if the order did not ask for it, or if the answer is not known yet. Confidence says how clear the evidence was, from
	// 0.5 (just sufficient) to 1.
	AnsweredBy string  `json:"answered_by,omitempty"`
	Confidence float64 `json:"confidence,omitempty"`
	// StartedAt is when the attempt started.
	StartedAt Time `json:"started_at,omitzero"`
	// SIPCallID is the Call-ID of its INVITE. It is empty if none was sent.
	SIPCallID string `json:"sip_call_id,omitempty"`
	// Transport is the transport of the INVITE: udp, tcp or tls. It is empty if none was sent.
	Transport string `json:"transport,omitempty"`
	// Tried has the addresses of the target that failed before the last one, as transport://address:port, each with the
	// failure. If only another node can reach a Contact, the name of that node takes the place of the failure.
	Tried []string `json:"tried,omitempty"`
	// DroppedHeaders names the headers that were left out of the INVITE.
	DroppedHeaders []string `json:"dropped_headers,omitempty"`
}

// Media counts the RTP of both legs.
type Media struct {
	A MediaSide `json:"a"`
	B MediaSide `json:"b"`
	// MOS is the lower MOS of both sides (SetMOS).
	MOS Score `json:"mos"`
	// OneWay is the side, a or b, that was not heard at the start of the call. It is empty if both were heard.
	OneWay string `json:"one_way,omitempty"`
	// Silences are the times in mid-call in which a side owed RTP and sent none, oldest first (ProblemSilent).
	Silences []Silence `json:"silences,omitempty"`
	// NoRTPMS is the longest time in which neither side sent RTP although both owed some.
	NoRTPMS int64 `json:"no_rtp_ms,omitempty"`
	// GapMS is how long no process received the packets of a leg because the call's process was killed. If the legs
	// differ, it is the longer gap.
	GapMS int64 `json:"gap_ms,omitempty"`
	// NoCPUMS is how long the call's packets may have waited because the process had no processor. Loss and lateness of
	// that time are this machine's, and not the network's.
	NoCPUMS int64 `json:"no_cpu_ms,omitempty"`
}

// IsZero reports whether nothing was counted.
func (m *Media) IsZero() bool {
	return m.A == (MediaSide{}) && m.B == (MediaSide{}) && m.MOS == 0 && m.OneWay == "" && m.Silences == nil &&
		m.NoRTPMS == 0 && m.GapMS == 0 && m.NoCPUMS == 0
}

// Silence is a time of over five seconds in mid-call in which a side, not on hold, sent no RTP. Sides that send only
// while they speak have none.
type Silence struct {
	// Side is the silent side, a or b.
	Side string `json:"side"`
	// FromMS is when its last packet came, in milliseconds since the answer. ToMS is when it was heard again, was put on
	// hold, or the call ended; it is nil if the silence goes on.
	FromMS int64  `json:"from_ms"`
	ToMS   *int64 `json:"to_ms"`
	// After is what happened within two seconds of its start: AfterReinvite with the side that sent it, AfterTransfer or
	// AfterRestart. It is empty if nothing did.
	After string `json:"after,omitempty"`
}

// The values of Silence.After.
const (
	AfterReinvite = "reinvite_"
	AfterTransfer = "transfer"
	AfterRestart  = "restart"
)

// Score is a mean opinion score, 1 to 5. It is 0, and null in JSON, if it was not measured.
type Score float64

// MarshalJSON returns the number, or null for zero.
func (s Score) MarshalJSON() ([]byte, error) {
	if s == 0 {
		return []byte("null"), nil
	}
	return json.Marshal(float64(s))
}

// Millis is a time in milliseconds. It is 0, and null in JSON, if it was not measured.
type Millis float64

// MarshalJSON returns the number, or null for zero.
func (m Millis) MarshalJSON() ([]byte, error) { return Score(m).MarshalJSON() }

// SetMOS sets the MOS to the lower one of both sides. If a side is mute, it sets none: it would be only the other
// side's. OneWay is known only after some seconds, so a side without a packet counts as mute, too. A call with silences
// has none either: it would be only of the times with packets, as are those of the sides.
func (m *Media) SetMOS() {
	if m.A.Rx == 0 || m.B.Rx == 0 || len(m.Silences) > 0 {
		m.MOS = 0
		return
	}
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
	// Duplicates counts the packets of Rx that had arrived before; Reordered counts those that arrived after a later one.
	Duplicates int64 `json:"duplicates"`
	Reordered  int64 `json:"reordered"`
	// Bursts is the number of runs of lost packets.
	Bursts int64 `json:"bursts"`
	// Late counts the packets of Rx that came over 200 ms later than others: a phone drops them, so they count as lost in
	// the MOS.
	Late int64 `json:"late,omitempty"`
	// LostHere counts the packets of Lost that reached this machine: it did not read them in time. LateHere counts those
	// of Late that reached it in time.
	LostHere int64 `json:"lost_here,omitempty"`
	LateHere int64 `json:"late_here,omitempty"`
	// SSRCChanges is how often the leg started another stream from the same address.
	SSRCChanges int64 `json:"ssrc_changes"`
	// RTT is the round-trip time between us and the leg's peer.
	RTT Millis `json:"rtt_ms"`
	// MOS rates the audio received from the leg.
	MOS Score `json:"mos"`
	// Codec is the leg's last codec. The two legs have different codecs if PCMU and PCMA, or G.711 and Opus, are converted
	// into each other.
	Codec string `json:"codec,omitempty"`
	// Expected is the address in the leg's last SDP. Source is the address that its RTP came from and was sent to. Either
	// may be empty.
	Expected string `json:"expected,omitempty"`
	Source   string `json:"source,omitempty"`
	// Refused is a source whose RTP was not accepted. It is empty if no source was refused for its address.
	Refused string `json:"refused,omitempty"`
	// SRTP is the suite that last secured the leg. It is empty for plain RTP.
	SRTP string `json:"srtp,omitempty"`
}

// Missed returns how many packets of the side the other one could not hear: they did not arrive, or too late, or too
// early to be transcoded. A packet that was late for a phone, and cut off, too, counts once.
func (s *MediaSide) Missed() int64 {
	return s.Lost + max(s.Late, s.DroppedBy.Overtaken+s.DroppedBy.Ahead)
}

// DroppedBy splits Dropped by reason. JSON omits reasons that did not occur.
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
	Overtaken     int64 `json:"overtaken,omitempty"`
	Ahead         int64 `json:"ahead,omitempty"`
	BadCheck      int64 `json:"bad_check,omitempty"`
}

// Prepared reports whether an attempt asked its platform's API.
func (a *Attempt) Prepared() bool {
	return a.PrepareMS > 0 || a.PrepareStatus > 0 || a.FailedToPrepare()
}

// FailedToPrepare reports whether an attempt ended because its platform's API returned no id.
func (a *Attempt) FailedToPrepare() bool { return strings.HasPrefix(a.Cause, "prepare_") }

// IsPlaced reports whether a request ordered the call.
func (r *Record) IsPlaced() bool {
	return r.Placed || len(r.Attempts) > 0 && r.Attempts[0].Reason == ReasonCustomer
}

// AnsweredCustomer returns the attempt in which the customer of a placed call answered, or nil.
func AnsweredCustomer(attempts []Attempt) *Attempt {
	for i := range attempts {
		if a := &attempts[i]; a.Reason == ReasonCustomer && a.SIPStatus == 200 && a.Cause == "" {
			return a
		}
	}
	return nil
}

// IsConnected reports whether an agent has answered a call that a request ordered.
func (r *Record) IsConnected() bool {
	return slices.ContainsFunc(r.Attempts, func(a Attempt) bool {
		return a.Reason != ReasonCustomer && a.SIPStatus == 200 && a.Cause == ""
	})
}

// IDOf returns the id for the call of a request with an idempotency key. Such ids do not sort by time.
func IDOf(key string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("flowbridge:call:"+key)).String()
}

// NewID returns a new id for a call. Ids sort by time and are unique across nodes.
func NewID() string {
	id, err := uuid.NewV7()
	if err != nil {
		return uuid.NewString()
	}
	return id.String()
}
