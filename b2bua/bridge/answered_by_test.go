package bridge

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"flowbridge/media"
	"flowbridge/media/answerer"
)

// postbox stands for a call, and stores the events that are posted to it.
type postbox struct {
	Call
	posted []Event
}

func (p *postbox) Post(e Event) { p.posted = append(p.posted, e) }

// detecting is a media session with answer detection.
type detecting struct {
	RelaySession
	side   media.Side
	limits answerer.Limits
}

func (d *detecting) DetectAnswer(side media.Side, l answerer.Limits) { d.side, d.limits = side, l }

// TestDetectAnswer: the media's detector is started, and its verdict is posted to the
// call.
func TestDetectAnswer(t *testing.T) {
	var call postbox
	var b Bridge
	b.Call, b.Media.bridge = &call, &b
	b.Media.DetectAnswer(media.SideB, answerer.Limits{Beep: 5}) // does nothing, because no media is open
	s := &detecting{}
	b.Media.session = s
	b.Media.DetectAnswer(media.SideB, answerer.Limits{Beep: 7})
	if s.side != media.SideB || s.limits.Beep != 7 {
		t.Errorf("asked for %v %+v", s.side, s.limits)
	}
	a := answerer.Answer{Verdict: answerer.Machine, Confidence: 0.8, After: 9}
	b.Media.On(media.EventAnsweredBy{Side: media.SideB, Answer: a})
	b.Media.On(media.EventBeep{Side: media.SideB, Beep: answerer.Beep{Heard: true, After: 11}})
	want := []Event{media.EventAnsweredBy{Side: media.SideB, Answer: a}, media.EventBeep{Side: media.SideB, Beep: answerer.Beep{Heard: true, After: 11}}}
	if diff := cmp.Diff(want, call.posted); diff != "" {
		t.Errorf("want - got +\n%s", diff)
	}
}
