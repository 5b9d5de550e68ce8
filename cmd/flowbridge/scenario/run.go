package scenario

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"flowbridge/b2bua/ladder"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/config"
	"flowbridge/sim"
	"flowbridge/store/record"
)

// The figures of a run: times in milliseconds, then percentages, the MOS, and texts.
const (
	answeredWithin = "answered_within"
	duration       = "duration"
	firstAudio     = "first_audio"
	answer         = "answer"
	stopsWithin    = "stops_within"
	deadAir        = "dead_air"
	talkOver       = "talk_over"
	loss           = "loss"
	mos            = "mos"
	hangUpBy       = "hangup_by"
	transferTo     = "transfer_to"
	received       = "received"
)

// Run is a call of a test.
type Run struct {
	Run     int               `json:"run"`
	CallID  string            `json:"call_id"` // the name of its recording, and of other files
	Server  string            `json:"server"`  // the Call-ID by which the called server finds its record; empty: none is called
	Failed  string            `json:"failed"`  // why the conversation did not go as the steps say
	Noisy   string            `json:"noisy"`   // why the figures of what was heard may be wrong
	Figures []Sample          `json:"figures"`
	Texts   map[string]string `json:"texts"`
	Steps   []string          `json:"steps"` // when each step began
	Talk    *ladder.Speech    `json:"talk"`

	Transcript []Said `json:"transcript,omitempty"` // what the agent has said, if the file has transcribe
	Untold     string `json:"untold,omitempty"`     // why there is no transcript
}

// Sample is one figure.
type Sample struct {
	Figure string  `json:"figure"`
	Value  float64 `json:"value"`
	Step   int     `json:"step,omitempty"`  // from 1; 0: the whole call
	Never  bool    `json:"never,omitempty"` // it did not happen within Value
	Off    float64 `json:"off,omitempty"`   // how far Value may be off, because this machine sent packets late
	run    int     // whose figure it is, if figures of several are judged
}

// ofNoise are the doubts about a sound that noise behind the caller explains, if the agent's voice is so many dB above
// its background. Then only figures that need the caller's side are not measured.
//
//nolint:gochecknoglobals // constant
var ofNoise = []string{"background", "ceaseless", "steady", "gaps", "echo"}

const clear = 27.0

// shown writes the value of a figure.
func shown(figure string, v float64) string {
	switch figure {
	case mos:
		return fmt.Sprintf("%.1f", v)
	case loss, talkOver:
		return fmt.Sprintf("%.1f %%", v)
	}
	return fmt.Sprintf("%.2f s", v/1000)
}

// shown writes the figure, and how far it may be off.
func (s Sample) shown() string {
	text := shown(s.Figure, s.Value)
	if s.Off > 0 {
		text += " ± " + strings.TrimSuffix(shown(s.Figure, s.Off), " s")
	}
	return text
}

// isHeard reports whether a noisy run has no such figure.
func isHeard(figure string) bool {
	return figure == firstAudio || figure == answer || figure == stopsWithin || figure == deadAir || figure == talkOver
}

// newRun returns what a call was like, by its caller, its record and its ladder.
func newRun(c *caller, r sim.CarrierResult, rec *record.Record, l *ladder.Ladder) Run {
	c.mu.Lock()
	defer c.mu.Unlock()
	run := Run{CallID: rec.ID, Failed: c.why(rec), Texts: map[string]string{}, Talk: l.Talk}
	if r.AnsweredAt.IsZero() {
		if run.Failed = fmt.Sprintf("not answered: %d %s, cause %s", r.Status, r.Reason, rec.Cause); r.Status == 487 {
			run.Failed = fmt.Sprintf("not answered within %v", testcall.RingLimit)
			run.add(answeredWithin, ms(testcall.RingLimit), true)
		}
		return run
	}
	for name, value := range gotten(l, rec.TargetSIPCallID) {
		if slices.ContainsFunc(c.test.Expect, func(x config.Expectation) bool { return x.Figure == name }) {
			run.Texts[name] = value
		}
	}
	run.Texts[hangUpBy] = rec.EndedBy
	if to := c.referred.Load(); to != nil {
		run.Texts[transferTo] = cmp.Or(referTo(l, rec.TargetSIPCallID), *to)
	}
	lasted := ms(r.EndedAt.Sub(r.AnsweredAt))
	run.add(answeredWithin, ms(r.AnsweredAt.Sub(r.InvitedAt)), false)
	run.add(duration, lasted, false)
	if b := rec.Media.B; b.Rx+b.Lost > 0 {
		run.add(loss, 100*float64(b.Lost)/float64(b.Rx+b.Lost), false)
		run.add(mos, float64(b.MOS), false)
	}
	for i, at := range c.times {
		run.Steps = append(run.Steps, fmt.Sprintf("%8.2f s %s", at.Seconds()-r.AnsweredAt.Sub(c.began).Seconds(), c.label(i)))
	}
	t := rec.Talk
	if t == nil || l.Talk == nil {
		if run.Noisy = "nothing was measured"; rec.Media.B.Rx == 0 {
			run.Noisy, run.Failed = "", cmp.Or(run.Failed, "the agent sent no RTP")
			run.add(firstAudio, lasted, true)
		}
		return run
	}
	// The caller has a clean line, and its words are known.
	doubts := []string{"good", "edge", "two_levels", "no_audio", "quiet"}
	noise := c.noise != nil && slices.Contains(ofNoise, t.Reason) && t.Agent != nil &&
		t.Agent.Level-t.Agent.Background > clear
	if !noise && !slices.Contains(doubts, cmp.Or(t.Reason, t.Confidence)) {
		run.Noisy = "the sound is " + t.Reason + " (flowbridge help guides/talk)"
	}
	if first := t.FirstAgentMS; first != nil {
		run.add(firstAudio, float64(*first), false)
	} else {
		run.add(firstAudio, lasted, true)
	}
	if t.AgentDeadAirMS != nil && !noise {
		run.add(deadAir, float64(*t.AgentDeadAirMS), false)
		run.add(talkOver, 100*float64(*t.BothMS)/float64(max(*t.MeasuredMS, 1)), false)
	}
	run.converse(c, r.EndedAt.Sub(c.began))
	run.widen(c, r.AnsweredAt.Sub(c.began), r.EndedAt.Sub(c.began))
	return run
}

// widen notes how far the figures of the whole call may be off because packets left late. Dead air has only silences of
// 3 s and more, so one that is nearly as long may be missing.
func (run *Run) widen(c *caller, answered, end time.Duration) {
	late, silences := ms(c.lateIn(0, end)), 0.0
	for _, s := range run.Figures {
		if s.Figure == answer || s.Figure == firstAudio {
			if silences += late; math.Abs(s.Value-record.DeadAirMS) <= late {
				silences += record.DeadAirMS
			}
		}
	}
	for i := range run.Figures {
		switch s := &run.Figures[i]; s.Figure {
		case firstAudio:
			s.Off = ms(c.lateIn(0, answered+time.Duration(s.Value)*time.Millisecond))
		case deadAir:
			s.Off = silences
		case talkOver:
			s.Off = min(100*late*float64(len(c.acts))/max(ms(end-answered), 1), 100)
		}
	}
}

// referTo returns the URI in the REFER of the agent with this Call-ID: the caller's side gets another one. It returns
// "" if the ladder has none.
func referTo(l *ladder.Ladder, sipCallID string) string {
	for _, m := range l.Messages {
		if m.Method == "REFER" && m.Status == 0 && m.SIPCallID == sipCallID {
			headers := headersOf(m.Text)
			to := cmp.Or(headers["refer-to"], headers["r"])
			if _, uri, ok := strings.Cut(to, "<"); ok {
				to, _, _ = strings.Cut(uri, ">")
			}
			return strings.TrimSpace(to)
		}
	}
	return ""
}

// headersOf returns the headers of a SIP message by their names in lower case.
func headersOf(text string) map[string]string {
	all := map[string]string{}
	head, _, _ := strings.Cut(text, "\r\n\r\n")
	for line := range strings.SplitSeq(head, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		all[strings.ToLower(strings.TrimSpace(name))] = strings.TrimSpace(value)
	}
	return all
}

// gotten returns the headers of the agent's INVITE, and the fields of the requests before it. A header counts more than
// a field of its name, and the last request more than earlier ones.
func gotten(l *ladder.Ladder, sipCallID string) map[string]string {
	all := map[string]string{}
	for _, m := range l.Messages {
		switch {
		case m.Status != 0:
		case m.Kind == "http":
			var fields any
			named := map[string]string{}
			_, body, _ := strings.Cut(m.Text, "\r\n\r\n")
			d := json.NewDecoder(strings.NewReader(body))
			if d.UseNumber(); d.Decode(&fields) == nil {
				flatten(fields, named)
			}
			maps.Copy(all, named)
		case m.Method == "INVITE" && m.SIPCallID == sipCallID:
			for name, value := range headersOf(m.Text) {
				all[received+" "+name] = value
			}
			return all
		}
	}
	return all
}

// flatten adds the fields of JSON by their names, wherever they are. The outermost one of a name counts, and of two in
// the same object the first one by the alphabet.
func flatten(fields any, to map[string]string) {
	switch fields := fields.(type) {
	case []any:
		for _, f := range fields {
			flatten(f, to)
		}
	case map[string]any:
		names := slices.Sorted(maps.Keys(fields))
		for _, name := range names {
			switch f := fields[name].(type) {
			case string, json.Number, bool:
				name = received + " " + strings.ToLower(name)
				if _, outer := to[name]; !outer {
					to[name] = fmt.Sprint(f)
				}
			}
		}
		for _, name := range names {
			flatten(fields[name], to)
		}
	}
}

// add adds a figure of the whole call.
func (run *Run) add(figure string, v float64, never bool) {
	run.Figures = append(run.Figures, Sample{Figure: figure, Value: v, Never: never})
}

// ms returns a time in milliseconds.
func ms(d time.Duration) float64 { return float64(d.Milliseconds()) }

// converse adds how long the agent took to answer the words of a step that a wait follows, and how long it went on when
// it was interrupted. An agent that cuts the words off has not answered them. The times of the caller are used: there
// the call ends at end.
func (run *Run) converse(c *caller, end time.Duration) {
	heard, _ := c.utterances(end)
	for i, a := range c.acts {
		next := end
		if i+1 < len(c.acts) {
			next = c.acts[i+1].from
		}
		answers, cut := Sample{Figure: answer, Value: ms(next - a.to), Step: a.step + 1, Never: true}, false
		stops := Sample{Figure: stopsWithin, Step: a.step + 1}
		for _, s := range heard {
			switch {
			case s.to-s.from < word:
			case s.from < a.from && s.to > a.from:
				stops.Value, stops.Never = ms(s.to-a.from), s.to >= end-frameTime
			case s.from >= a.from && s.from < a.to:
				cut = cut || s.to > a.to
			case s.from >= a.to && s.from < next && answers.Never:
				answers.Value, answers.Never = ms(s.from-a.to), false
			}
		}
		answers.Off = ms(c.lateIn(a.from, a.to+time.Duration(answers.Value)*time.Millisecond))
		stops.Off = ms(c.lateIn(a.from, a.from+time.Duration(stops.Value)*time.Millisecond))
		if c.test.Steps[a.step].Interrupt != "" {
			run.Figures = append(run.Figures, stops)
		}
		after := c.test.Steps[min(a.step+1, len(c.test.Steps)-1)]
		if !cut && (after.Wait == "words" || after.Wait == "pause" || c.test.Steps[a.step].Answered) {
			run.Figures = append(run.Figures, answers)
		}
	}
}
