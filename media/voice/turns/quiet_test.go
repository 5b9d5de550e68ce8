package turns

import (
	"testing"

	"flowbridge/media/voice"
)

// The figures of a caller whose weak sounds are too quiet to be heard are in doubt. A quiet agent's are right.
func TestQuietCaller(t *testing.T) {
	for _, tt := range []struct {
		caller, agent int32
		want          Reason
	}{{520, 1000, ""}, {500, 1000, Quiet}, {1000, 500, ""}} {
		talk := New(answered)
		for i := range 4 {
			from := i * 7000
			talk.Hear(Caller, voice.Segment{From: at(from + 1000), To: at(from + 3000), Level: tt.caller, Noise: 50})
			talk.Hear(Agent, voice.Segment{From: at(from + 4000), To: at(from + 6000), Level: tt.agent, Noise: 50})
		}
		talk.Finish(at(30000))
		if f := talk.Figures(); f.Reason != tt.want {
			t.Errorf("caller %d, agent %d: %s %q; want %q", tt.caller, tt.agent, f.Confidence, f.Reason, tt.want)
		}
	}
}
