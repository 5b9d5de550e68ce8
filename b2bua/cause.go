package b2bua

import (
	"slices"

	"flowbridge/store"
)

// Cause says why a call, or an attempt at a target, ended. The set is closed;
// the same word stands in the record, the logs and docs/causes.md.
type Cause string

// The causes. docs/causes.md says for each what happened and where to look.
const (
	CauseNone Cause = ""

	CauseCallerHangup    Cause = "caller_hangup"
	CauseAgentHangup     Cause = "agent_hangup"
	CauseCallerCancelled Cause = "caller_cancelled"

	CauseNoRoute       Cause = "no_route"
	CauseBadOffer      Cause = "bad_offer"
	CauseSRTPRequired  Cause = "srtp_required"
	CauseNoCommonCodec Cause = "no_common_codec"
	CauseNoPorts       Cause = "no_ports"

	CausePrepareTimeout Cause = "prepare_timeout"
	CausePrepareFailed  Cause = "prepare_failed"
	CausePrepareRefused Cause = "prepare_refused"
	CausePrepareInvalid Cause = "prepare_invalid"

	CauseTemplateFailed    Cause = "template_failed"
	CauseDNSFailed         Cause = "dns_failed"
	CauseTargetCapped      Cause = "target_capped"
	CauseTargetSilent      Cause = "target_silent"
	CauseTargetUnreachable Cause = "target_unreachable"
	CauseTLSFailed         Cause = "tls_failed"
	CauseInviteTooLarge    Cause = "invite_too_large"
	CauseRingTimeout       Cause = "ring_timeout"
	CauseTargetBusy        Cause = "target_busy"
	CauseTargetRefused     Cause = "target_refused"
	CauseTargetError       Cause = "target_error"
	CauseAuthMissing       Cause = "auth_missing"
	CauseAuthUnsupported   Cause = "auth_unsupported"
	CauseAuthRefused       Cause = "auth_refused"
	CauseBadAnswer         Cause = "bad_answer"
	CauseSRTPRefused       Cause = "srtp_refused"
	CauseSetupTimeout      Cause = "setup_timeout"

	CauseNoACK           Cause = "no_ack"
	CauseNoPRACK         Cause = "no_prack"
	CauseBadACK          Cause = "bad_ack"
	CauseSessionExpired  Cause = "session_expired"
	CauseDialogLost      Cause = "dialog_lost"
	CauseTransferFailed  Cause = "transfer_failed"
	CauseNoMedia         Cause = "no_media"
	CauseMediaTimeout    Cause = "media_timeout"
	CauseMaxDuration     Cause = "max_duration"
	CauseShutdown        Cause = "shutdown"
	CauseOverflow        Cause = "inbox_overflow"
	CauseInternalError   Cause = "internal_error"
	CauseProcessRestart  Cause = "process_restart"  // written by the store
	causeAnotherAnswered Cause = "another_answered" // these two stand only in a Reason
	causeTransferred     Cause = "transferred"
)

// Causes lists every cause that a record can hold, in the order of docs/causes.md.
func Causes() []Cause {
	return []Cause{
		CauseCallerHangup, CauseAgentHangup, CauseCallerCancelled,
		CauseNoRoute, CauseBadOffer, CauseNoCommonCodec, CauseSRTPRequired, CauseNoPorts,
		CausePrepareTimeout, CausePrepareFailed, CausePrepareRefused, CausePrepareInvalid,
		CauseTemplateFailed, CauseDNSFailed, CauseTargetCapped, CauseTargetSilent, CauseTargetUnreachable, CauseTLSFailed,
		CauseInviteTooLarge, CauseRingTimeout, CauseTargetBusy, CauseTargetRefused, CauseTargetError,
		CauseAuthMissing, CauseAuthUnsupported, CauseAuthRefused, CauseBadAnswer, CauseSRTPRefused, CauseSetupTimeout,
		CauseNoACK, CauseNoPRACK, CauseBadACK, CauseSessionExpired, CauseDialogLost, CauseTransferFailed,
		CauseNoMedia, CauseMediaTimeout, CauseMaxDuration, CauseShutdown, CauseOverflow,
		CauseInternalError, CauseProcessRestart,
	}
}

// causeOfStatus is the cause of a target's final answer.
func causeOfStatus(code int) Cause {
	switch {
	case code == 486 || code == 600:
		return CauseTargetBusy
	case code == 401 || code == 407 || code == 408 || code < 400 || (code >= 500 && !declined(code)):
		return CauseTargetError
	default:
		return CauseTargetRefused
	}
}

// declined says that a 6xx is the called party's own decision, which another
// target would not change (design: 600, 603, 607, 608).
func declined(code int) bool {
	return code == 600 || code == 603 || code == 607 || code == 608
}

// nextTarget says whether a target's answer is the next target's turn; the
// others are passed on as they are. Code 0 stands for no answer.
func nextTarget(code int, failoverOn []int) bool {
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

// dispositionOf is the record's disposition of a call that was not answered.
func dispositionOf(cause Cause, status int) string {
	switch {
	case cause == CauseCallerCancelled:
		return store.DispositionCancelled
	case status == 486 || status == 600:
		return store.DispositionBusy
	case cause == CauseRingTimeout || status == 408 || status == 480:
		return store.DispositionNoAnswer
	default:
		return store.DispositionFailed
	}
}

// q850Of is the ISDN cause (ITU-T Q.850) of a SIP status, by the table of RFC
// 3398 section 8.2.6.1; of statuses younger than that, of the ones that they are
// kinds of. 0: none. docs/causes.md shows the table.
func q850Of(status int) int {
	switch status {
	case 404, 485, 604:
		return 1 // unallocated number
	case 486, 600:
		return 17 // user busy
	case 480:
		return 18 // no user responding
	case 401, 402, 403, 407, 603, 607, 608:
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

// q850OfCause is the ISDN cause of an answered call that ended for a reason of
// ours, or because a side hung up without giving one.
func q850OfCause(cause Cause) int {
	switch cause {
	case CauseCallerHangup, CauseAgentHangup, causeTransferred:
		return 16 // normal call clearing
	case CauseNoACK, CauseNoPRACK, CauseSessionExpired, CauseRingTimeout, CauseTargetSilent, CauseSetupTimeout, CauseNoMedia, CauseMediaTimeout, CauseMaxDuration:
		return 102 // recovery on timer expiry
	default:
		return 31 // normal, unspecified
	}
}

// reasonValue is the Reason header (RFC 3326) that a CANCEL or BYE of ours
// carries, empty where there is nothing to say. q850 is what the other side gave,
// 0 where it gave nothing.
func reasonValue(why Cause, q850 int) string {
	switch why {
	case causeAnotherAnswered:
		return `SIP;cause=200;text="Call completed elsewhere"`
	case CauseNone, CauseCallerCancelled:
		return ""
	default:
		if q850 == 0 {
			q850 = q850OfCause(why)
		}
		return reason{protocol: "Q.850", cause: q850, text: string(why)}.String()
	}
}

// reasonsIn are what the Reason headers of a CANCEL say.
func reasonsIn(values []string) reasons {
	r := reasons{q850: q850In(values)}
	for _, v := range parseReasons(values) {
		r.elsewhere = r.elsewhere || (equalFold(v.protocol, "sip") && v.cause == 200)
	}
	return r
}

// value is the Reason of the CANCEL that goes on, empty where there is nothing
// to say. The words are ours.
func (r reasons) value() string {
	switch {
	case r.elsewhere:
		return reasonValue(causeAnotherAnswered, 0)
	case r.q850 > 0:
		return reason{protocol: "Q.850", cause: r.q850, text: string(CauseCallerCancelled)}.String()
	default:
		return ""
	}
}

// q850In is the ISDN cause that the Reason headers of a message give (RFC 3326
// section 2): that of Q.850, else that of the SIP status; 0 where there is none.
func q850In(values []string) int {
	ofStatus := 0
	for _, r := range parseReasons(values) {
		switch {
		case equalFold(r.protocol, "q.850") && r.cause > 0 && r.cause < 128:
			return r.cause
		case equalFold(r.protocol, "sip") && ofStatus == 0:
			ofStatus = q850Of(r.cause)
		}
	}
	return ofStatus
}
