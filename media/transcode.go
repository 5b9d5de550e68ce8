package media

import (
	"fmt"

	"flowbridge/media/stage"
)

// Transcode is the argument of Session.SetTranscode.
type Transcode = stage.Transcode

// SetTranscode has G.711 stand for the Opus of a side, everywhere in the session, or ends that. A session starts
// without. The codec is made here, in 1 ms. EventCodecFailed says that it has failed.
func (s *Session) SetTranscode(side Side, t Transcode) error {
	t, err := t.Ready()
	if err != nil {
		return fmt.Errorf("media: %w", err)
	}
	s.set(command{op: opOrder, side: side, order: t})
	return nil
}
