package scenario

import (
	"testing"
	"time"

	"flowbridge/config"
	"flowbridge/media/audio"
	"flowbridge/media/voice"
)

// The built-in voice is speech to the program's own ear, from its first sample to its last.
func TestBuiltInVoiceIsSpeech(t *testing.T) {
	for i := range 40 {
		for _, d := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second} {
			test := &config.Conversation{Steps: make([]config.ConversationStep, i+1)}
			test.Steps[i].Say = d.String()
			pcm := make([]int16, audio.Rate)
			pcm = append(append(pcm, words(test, i)...), pcm...)
			var ear voice.Detector
			var heard, steady time.Duration
			for at := 0; at+160 <= len(pcm); at += 160 {
				codes := make([]byte, 160)
				audio.ULaw.Encode(codes, pcm[at:at+160])
				s, ok := ear.Packet(voice.Packet{Arrival: length(pcm[:at+160]), SSRC: 1, Timestamp: uint32(at), Content: voice.MuLaw, Payload: codes})
				switch {
				case ok && s.Noise == s.Level:
					steady += s.To - s.From
				case ok:
					heard += s.To - s.From
				}
			}
			if steady > 0 || (heard-d).Abs() > 120*time.Millisecond {
				t.Errorf("step %d, %v: heard %v, steady %v", i, d, heard, steady)
			}
		}
	}
}
