package turns

import (
	"testing"

	"flowbridge/media/voice"
)

// The figures of a caller whose weak sounds are too quiet to be heard are in doubt, and so are those of a side whose
// background is near its speech and comes and goes. A quiet agent's are right, and those behind an even background.
func TestQuietAndBackground(t *testing.T) {
	for _, tt := range []struct {
		caller, agent int32
		noise         [2]int32 // behind the caller, in turns
		want          Reason
	}{
		{400, 1000, [2]int32{50, 50}, ""},
		{360, 1000, [2]int32{50, 50}, Quiet},
		{1000, 400, [2]int32{50, 50}, ""},
		{1000, 1000, [2]int32{380, 640}, Background},
		{1000, 1000, [2]int32{600, 640}, ""},
		{1000, 1000, [2]int32{50, 400}, ""},
	} {
		talk := New(answered)
		for i := range 4 {
			from := i * 7000
			talk.Hear(Caller, voice.Segment{From: at(from + 1000), To: at(from + 3000), Level: tt.caller, Noise: tt.noise[i%2]})
			talk.Hear(Agent, voice.Segment{From: at(from + 4000), To: at(from + 6000), Level: tt.agent, Noise: 50})
		}
		talk.Finish(at(30000))
		if f := talk.Figures(); f.Reason != tt.want {
			t.Errorf("caller %d, agent %d, noise %d: %s %q; want %q", tt.caller, tt.agent, tt.noise, f.Confidence, f.Reason, tt.want)
		}
	}
}

// A caller of whom only a steady sound is heard is not measured.
func TestOnlySteadySound(t *testing.T) {
	talk := New(answered)
	talk.Hear(Caller, voice.Segment{From: at(1000), To: at(3000), Level: 900, Noise: 900})
	talk.Hear(Agent, voice.Segment{From: at(4000), To: at(6000), Level: 900, Noise: 50})
	talk.Finish(at(30000))
	if f := talk.Figures(); f.Confidence != NotMeasured || f.Reason != Steady {
		t.Errorf("%s %q; want not measured, steady", f.Confidence, f.Reason)
	}
}
