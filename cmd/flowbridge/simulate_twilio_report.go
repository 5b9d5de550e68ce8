package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"flowbridge/sim/twilio"
)

// twilioVerdict is nil for a call that was answered and that had audio.
func twilioVerdict(r twilio.Result) error {
	if len(r.Dials) > 0 {
		return report(io.Discard, r.Dials[len(r.Dials)-1].Result)
	}
	switch r.Outcome {
	case twilio.OutcomeRejected:
		return errors.New("no call was placed: the TwiML rejects the caller")
	case twilio.OutcomeNumber:
		return errors.New("no SIP URI was called: the TwiML dials another number, which only Twilio can")
	default:
		return errors.New("no call was placed: the TwiML dials nobody")
	}
}

// printTwilio shows what was asked, what was answered and what became of it.
func printTwilio(w io.Writer, r twilio.Result, trace *messages) {
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-10s %s\n", name, printed(fmt.Sprintf(format, args...)))
	}
	row("call", "%s of account %s", r.CallSID, r.AccountSID)
	for _, q := range r.Requests {
		row("webhook", "%s %s", q.Method, q.URL)
		if q.Status > 0 {
			row("answer", "%d, %s, after %v", q.Status, q.ContentType, rounded(q.Took))
			row(bodyName(q), "%s", strings.Join(strings.Fields(q.Body), " "))
		}
	}
	for _, v := range r.Verbs {
		row("verb", "%s", v)
	}
	for _, warning := range r.Warnings {
		row("warning", "%s", warning)
	}
	for _, d := range r.Dials {
		row("INVITE", "%s", d.URI)
		for _, h := range d.Headers {
			row("", "%s: %s", h.Name, h.Value)
		}
		fmt.Fprintln(w)
		trace.ladder(w, d.Result.SIPCallID)
		_ = report(w, d.Result) // the verdict is the caller's
	}
}

// bodyName says what an answer's body is.
func bodyName(q twilio.Request) string {
	if q.Status/100 == 2 {
		return "TwiML"
	}
	return "words"
}

// The JSON form of a result.
type (
	twilioJSON struct {
		OK         bool                `json:"ok"`
		Error      string              `json:"error,omitempty"`
		AccountSID string              `json:"account_sid"`
		CallSID    string              `json:"call_sid"`
		Outcome    string              `json:"outcome"` // dialled, number, rejected, ended; empty where it did not come to that
		Requests   []twilioRequestJSON `json:"requests"`
		Verbs      []string            `json:"verbs"`
		Warnings   []string            `json:"warnings"`
		Dials      []twilioDialJSON    `json:"dials"`
	}
	twilioRequestJSON struct {
		Method      string  `json:"method"`
		URL         string  `json:"url"`
		Status      int     `json:"status"`
		ContentType string  `json:"content_type"`
		Body        string  `json:"body"`
		MS          float64 `json:"ms"`
	}
	twilioDialJSON struct {
		CallSID   string             `json:"call_sid"`
		URI       string             `json:"uri"`
		Headers   []twilioHeaderPair `json:"headers"`
		SIPCallID string             `json:"sip_call_id"`
		Status    int                `json:"sip_status"`
		Reason    string             `json:"reason"`
		Answered  bool               `json:"answered"`
		EndedBy   string             `json:"ended_by,omitempty"`
		SetupMS   float64            `json:"setup_ms"` // to the answer; 0 without
		TalkMS    float64            `json:"talk_ms"`
		Codec     string             `json:"codec,omitempty"`
		Sent      uint64             `json:"packets_sent"`
		Received  uint64             `json:"packets_received"`
		Lost      uint64             `json:"packets_lost"`
		Audio     string             `json:"audio,omitempty"` // in words
	}
	twilioHeaderPair struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
)

func printTwilioJSON(w io.Writer, r twilio.Result, failed error) error {
	out := twilioJSON{
		OK: failed == nil, AccountSID: r.AccountSID, CallSID: r.CallSID, Outcome: r.Outcome,
		Requests: []twilioRequestJSON{}, Verbs: append([]string{}, r.Verbs...), Warnings: append([]string{}, r.Warnings...), Dials: []twilioDialJSON{},
	}
	if failed != nil {
		out.Error = failed.Error()
	}
	for _, q := range r.Requests {
		out.Requests = append(out.Requests, twilioRequestJSON{q.Method, q.URL, q.Status, q.ContentType, q.Body, float64(q.Took.Microseconds()) / 1000})
	}
	for _, d := range r.Dials {
		out.Dials = append(out.Dials, dialJSON(d))
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false) // TwiML is full of < and &
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}

func dialJSON(d twilio.Dial) twilioDialJSON {
	r := d.Result
	out := twilioDialJSON{
		CallSID: d.CallSID, URI: d.URI, Headers: []twilioHeaderPair{}, SIPCallID: r.SIPCallID, Status: r.Status, Reason: r.Reason,
		Answered: !r.AnsweredAt.IsZero(), EndedBy: string(r.EndedBy), Codec: r.RTP.Codec, Sent: r.RTP.Sent, Received: r.RTP.Received, Lost: r.RTP.Lost,
	}
	for _, h := range d.Headers {
		out.Headers = append(out.Headers, twilioHeaderPair(h))
	}
	if out.Answered {
		out.SetupMS = float64(r.AnsweredAt.Sub(r.InvitedAt).Microseconds()) / 1000
		out.TalkMS = float64(r.EndedAt.Sub(r.AnsweredAt).Microseconds()) / 1000
		out.Audio, _ = audio(r)
	}
	return out
}
