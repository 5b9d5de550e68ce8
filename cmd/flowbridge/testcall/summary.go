package testcall

import (
	"time"

	"flowbridge/sim"
)

// Summary is the result of a test call as JSON.
type Summary struct {
	OK        bool      `json:"ok"`
	Error     string    `json:"error,omitempty"`
	Hint      string    `json:"hint,omitempty"` // why there was no answer, or where to see why the call was refused
	SIPCallID string    `json:"sip_call_id"`
	Status    int       `json:"sip_status"` // 0 if there was no final answer
	Reason    string    `json:"reason"`
	RingingMS *int64    `json:"ringing_ms"` // time from the INVITE; null if it did not ring
	AnswerMS  *int64    `json:"answer_ms"`  // time from the INVITE; null if it was not answered
	TalkedMS  int64     `json:"talked_ms"`
	Answers   int       `json:"answers"`        // how often the other side answered our words
	AnswersMS *int64    `json:"answers_p50_ms"` // time from the end of our words; null if there were no answers
	EndedBy   string    `json:"ended_by"`
	ByeStatus int       `json:"bye_status"`
	RTP       *Audible  `json:"rtp"` // null if it was not answered
	Messages  []OneLine `json:"messages"`
}

// Audible is the audio of a call at this end.
type Audible struct {
	Codec      string  `json:"codec"`
	Local      string  `json:"local"`
	Remote     string  `json:"remote"` // the address in the SDP
	Source     string  `json:"source"` // the address that packets came from; empty if none came
	Sent       uint64  `json:"sent"`
	Received   uint64  `json:"received"`
	Lost       uint64  `json:"lost"`
	OutOfOrder uint64  `json:"out_of_order"`
	Duplicates uint64  `json:"duplicates"`
	JitterMS   float64 `json:"jitter_ms"`
	FirstMS    int64   `json:"first_ms"` // time from the answer to the first packet
	Verdict    string  `json:"verdict"`
}

// OneLine is the first line of a SIP message.
type OneLine struct {
	MS       float64 `json:"ms"` // time since the first message
	Received bool    `json:"received"`
	Line     string  `json:"line"`
}

// Summarize summarizes a call. failed is nil if the call was answered and audio was heard.
func Summarize(r sim.CarrierResult, trace *Messages, failed error, hint string) Summary {
	s := Summary{
		OK: failed == nil, Hint: hint, SIPCallID: r.SIPCallID, Status: r.Status, Reason: r.Reason, ByeStatus: r.ByeStatus,
		Messages: trace.lines(r.SIPCallID),
	}
	if failed != nil {
		s.Error = failed.Error()
	}
	since := func(t time.Time) *int64 {
		if t.IsZero() {
			return nil
		}
		ms := t.Sub(r.InvitedAt).Milliseconds()
		return &ms
	}
	s.RingingMS, s.AnswerMS = since(r.RingingAt), since(r.AnsweredAt)
	if r.AnsweredAt.IsZero() {
		return s
	}
	s.TalkedMS, s.EndedBy = r.EndedAt.Sub(r.AnsweredAt).Milliseconds(), string(r.EndedBy)
	s.Answers = len(r.Answers)
	if s.Answers > 0 {
		s.AnswersMS = new(r.Answers[(s.Answers-1)/2].Milliseconds())
	}
	q := r.RTP
	verdict, _ := audioOf(r)
	s.RTP = &Audible{
		Codec: q.Codec, Local: q.Local.String(), Remote: q.Remote.String(), Sent: q.Sent, Received: q.Received, Lost: q.Lost,
		OutOfOrder: q.OutOfOrder, Duplicates: q.Duplicates, JitterMS: float64(q.Jitter.Microseconds()) / 1000,
		FirstMS: r.MediaDelay.Milliseconds(), Verdict: verdict,
	}
	if q.Source.IsValid() {
		s.RTP.Source = q.Source.String()
	}
	return s
}
