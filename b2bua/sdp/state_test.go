package sdp

import "testing"

// TestStateOfEachNumber: whatever payload type a side uses for Opus, the saved state of its formats can be read back.
func TestStateOfEachNumber(t *testing.T) {
	for number := range uint8(128) {
		all := FormatStates{
			{Codec: PCMU, Mapping: "opus/48000/2", wire: number, source: number, lines: linesOfOurs},
			{Codec: Codec{Name: events, Clock: 8000}, Mapping: "telephone-event/8000", Number: 101, source: 101},
		}
		text, _ := all.AppendText(nil)
		var got FormatStates
		if err := got.UnmarshalText(text); err != nil || len(got) != 2 || got[0] != all[0] || got[1] != all[1] {
			t.Errorf("%d: %v, %+v", number, err, got)
		}
		if got.HasStandIn() != (number > 0) {
			t.Errorf("%d: transcoded %t", number, got.HasStandIn())
		}
	}
}
