package media

import (
	"fmt"

	"flowbridge/media/opus"
	"flowbridge/media/stage"
)

// Transcode is the argument of Session.SetTranscode.
type Transcode = stage.Transcode

// OpusClock is the rate of the RTP timestamps of Opus, in Hz (RFC 7587 section 4.1).
const OpusClock = opus.Clock

// OpusWishes are the wishes of a receiver of Opus (RFC 7587 section 6.1).
type OpusWishes = opus.Settings

// SetTranscode makes the Opus of a side appear as G.711 everywhere in the session, or ends that. A session starts
// without a transcoder. SetTranscode creates the codec, which takes 1 ms. EventFailed reports that the codec has
// failed.
func (s *Session) SetTranscode(side Side, t Transcode) error {
	t, err := t.Ready()
	if err != nil {
		return fmt.Errorf("media: %w", err)
	}
	s.set(command{op: opOrder, side: side, order: t})
	return nil
}

// Pass implements stage.Session.
func (r *relay) Pass(from Side, p *stage.Packet) { r.worker.pass(&r.endpoint[from][RTP], p) }

// Put implements stage.Session.
func (r *relay) Put(to Side, pkt []byte) bool { return r.worker.put(&r.endpoint[to.Other()][RTP], pkt) }

// Cut implements stage.Session.
func (r *relay) Cut(from Side, why stage.Verdict) { r.endpoint[from][RTP].count.stopped(why) }

// Broke implements stage.Session.
func (r *relay) Broke(side Side, err error) { r.post(EventFailed{Side: side, Err: err}) }
