package turns

import (
	"time"

	"flowbridge/media/voice"
)

const loudness = 20

func (s *side) hear(h voice.Segment, ms uint64) {
	s.Heard += ms
	s.Noise += uint64(h.Noise) * ms
	s.Levels[min(max(int(h.Level)/128, 0), loudness-1)] += uint32(ms)
}
func (t *Talk) S() *State { return &t.s }

var _ = time.Second
