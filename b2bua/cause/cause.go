package cause

import (
	"slices"
	"strings"

	"flowbridge/b2bua/message"
)

// Cause is the reason why a call, or an attempt at a target, ended. The set is closed. Records, logs and
// docs/causes.md use the same words.
type Cause string

// Words returns the cause in plain words, such as "no common codec".
func (c Cause) Words() string { return strings.ReplaceAll(string(c), "_", " ") }

// The causes. causes.yaml explains each of them.
const (
	None Cause = ""

	CallerHangup    Cause = "caller_hangup"
	AgentHangup     Cause = "agent_hangup"
	CallerCancelled Cause = "caller_cancelled"
	OperatorHangup  Cause = "operator_hangup"

	NoRoute       Cause = "no_route"
	BadOffer      Cause = "bad_offer"
	SRTPRequired  Cause = "srtp_required"
	NoCommonCodec Cause = "no_common_codec"
	NoPorts       Cause = "no_ports"
	NoTranscoder  Cause = "no_transcoder"

	CallerLimited      Cause = "caller_limited"
	DestinationLimited Cause = "destination_limited"
	AnsweredByMachine  Cause = "answered_by_machine"
	IdentityRefused    Cause = "identity_refused"

	PrepareTimeout Cause = "prepare_timeout"
	PrepareFailed  Cause = "prepare_failed"
	PrepareRefused Cause = "prepare_refused"
	PrepareInvalid Cause = "prepare_invalid"
	APICircuitOpen Cause = "api_circuit_open"

	TemplateFailed    Cause = "template_failed"
	DNSFailed         Cause = "dns_failed"
	TargetCapped      Cause = "target_capped"
	TargetCircuitOpen Cause = "target_circuit_open"
	QueueFull         Cause = "queue_full"
	QueueTimeout      Cause = "queue_timeout"
	TargetSilent      Cause = "target_silent"
	TargetUnreachable Cause = "target_unreachable"
	TLSFailed         Cause = "tls_failed"
	InviteTooLarge    Cause = "invite_too_large"
	RingTimeout       Cause = "ring_timeout"
	TargetBusy        Cause = "target_busy"
	TargetRefused     Cause = "target_refused"
	TargetError       Cause = "target_error"
	AuthMissing       Cause = "auth_missing"
	AuthUnsupported   Cause = "auth_unsupported"
	AuthRefused       Cause = "auth_refused"
	BadAnswer         Cause = "bad_answer"
	SRTPRefused       Cause = "srtp_refused"
	DTLSFailed        Cause = "dtls_failed"
	SetupTimeout      Cause = "setup_timeout"
	Expired           Cause = "expired"

	NoACK           Cause = "no_ack"
	NoPRACK         Cause = "no_prack"
	BadACK          Cause = "bad_ack"
	SessionExpired  Cause = "session_expired"
	DialogLost      Cause = "dialog_lost"
	MissedHangup    Cause = "missed_hangup"
	TransferFailed  Cause = "transfer_failed"
	NoMedia         Cause = "no_media"
	MediaTimeout    Cause = "media_timeout"
	DeadAir         Cause = "dead_air"
	ConsentExpired  Cause = "consent_expired"
	MaxDuration     Cause = "max_duration"
	Shutdown        Cause = "shutdown"
	Overflow        Cause = "inbox_overflow"
	InternalError   Cause = "internal_error"
	ProcessRestart  Cause = "process_restart"  // also written by the store
	AnotherAnswered Cause = "another_answered" // this cause and the next are used only in Reason headers
	Transferred     Cause = "transferred"

	NotTold     Cause = "not_told"     // this cause and the next are those of routes[].tell
	NotAccepted Cause = "not_accepted" // also of a caller that presses another key

	BotLost      Cause = "bot_lost" // this cause and the next are the words of this machine's gateway of bots
	AgentStalled Cause = "agent_stalled"
)

// Passes reports whether the reason soon passes, so that a refused caller gets a Retry-After.
func (c Cause) Passes() bool { return c == NoTranscoder }

// OfStatus returns the cause for a target's final status.
func OfStatus(code int) Cause {
	switch {
	case code == 486 || code == 600:
		return TargetBusy
	case code == 401 || code == 407 || code == 408 || code < 400 || (code >= 500 && !declined(code)):
		return TargetError
	default:
		return TargetRefused
	}
}

// declined reports whether a 6xx is the called party's own decision, which calling another target would not
// change.
func declined(code int) bool {
	return code == 600 || code == 603 || code == 607 || code == 608
}

// RefusesOffer reports whether a status refuses an offer because of its content.
func RefusesOffer(code int) bool { return code == 488 || code == 606 || code == 415 }

// NextTarget reports whether to try the next target after this final status of a target. Other statuses are
// passed on unchanged. Code 0 means that there was no answer.
func NextTarget(code int, failoverOn []int) bool {
	switch {
	case slices.Contains(failoverOn, code):
		return true
	case declined(code):
		return false
	case code < 400, code == 401, code == 407, code == 408, code >= 500:
		return true
	default:
		return false
	}
}

// Q850Of returns the ISDN cause (ITU-T Q.850) for a SIP status, by the table of RFC 3398 section 8.2.6.1, or
// 0 if there is none. A newer status is treated like the older status that it refines. docs/causes.md shows
// the table.
func Q850Of(status int) int {
	switch status {
	case 404, 485, 604:
		return 1 // unallocated number
	case 486, 600:
		return 17 // user busy
	case 480:
		return 18 // no user responding
	case 401, 402, 403, 407, 428, 436, 437, 438, 603, 607, 608:
		return 21 // call rejected
	case 410:
		return 22 // number changed
	case 482, 483:
		return 25 // exchange routing error
	case 484:
		return 28 // invalid number format
	case 487:
		return 31 // normal, unspecified
	case 502:
		return 38 // network out of order
	case 400, 481, 500, 503:
		return 41 // temporary failure
	case 405:
		return 63 // service or option not available
	case 488, 606:
		return 65 // bearer capability not implemented
	case 406, 415, 501:
		return 79 // service or option not implemented
	case 408, 504:
		return 102 // recovery on timer expiry
	case 413, 414, 416, 420, 421, 423, 505, 513:
		return 127 // interworking, unspecified
	default:
		return 0
	}
}

// IsFailure reports whether an ISDN cause means a failure, and not the intended end of a call: no resource,
// nothing implemented, an invalid message, a protocol error (ITU-T Q.850, classes 2 and above), or a
// destination out of order (27).
func IsFailure(q850 int) bool { return q850 == 27 || q850 >= 32 }

// Q850OfCause returns the ISDN cause for an answered call that this server ended, or that a side hung up
// without an ISDN cause.
func Q850OfCause(cause Cause) int {
	switch cause {
	case CallerHangup, AgentHangup, OperatorHangup, Transferred, AnsweredByMachine, NotAccepted:
		return 16 // normal call clearing
	case NoACK, NoPRACK, SessionExpired, RingTimeout, TargetSilent, SetupTimeout, Expired, NoMedia, MediaTimeout, DeadAir,
		ConsentExpired, MaxDuration:
		return 102 // recovery on timer expiry
	default:
		return 31 // normal, unspecified
	}
}

// ReasonValue returns the value of the Reason header (RFC 3326) for a CANCEL or BYE, or "" if there is no
// reason to give. q850 is the other side's ISDN cause, or 0 if it gave none.
func ReasonValue(why Cause, q850 int) string {
	switch why {
	case AnotherAnswered:
		return `SIP;cause=200;text="Call completed elsewhere"`
	case None, CallerCancelled:
		return ""
	default:
		if q850 == 0 {
			q850 = Q850OfCause(why)
		}
		return reason{protocol: "Q.850", cause: q850, text: string(why)}.String()
	}
}

// ReasonsIn reads the Reason headers of a CANCEL, and returns what is passed to the other side.
func ReasonsIn(values []string) Reasons {
	r := Reasons{Q850: Q850In(values)}
	for _, v := range parseReasons(values) {
		r.elsewhere = r.elsewhere || (message.EqualFold(v.protocol, "sip") && v.cause == 200)
	}
	return r
}

// OfGateway returns the cause that the gateway of bots gives in the Reason headers of its BYE, or AgentHangup.
func OfGateway(values []string) Cause {
	for _, r := range parseReasons(values) {
		if c := Cause(r.text); c == BotLost || c == AgentStalled {
			return c
		}
	}
	return AgentHangup
}

// Q850In returns the ISDN cause in the Reason headers of a message (RFC 3326 section 2): that of Q.850, or
// else the one for the SIP status, or else 0.
func Q850In(values []string) int {
	ofStatus := 0
	for _, r := range parseReasons(values) {
		switch {
		case message.EqualFold(r.protocol, "q.850") && r.cause > 0 && r.cause < 128:
			return r.cause
		case message.EqualFold(r.protocol, "sip") && ofStatus == 0:
			ofStatus = Q850Of(r.cause)
		}
	}
	return ofStatus
}
