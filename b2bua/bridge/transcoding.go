package bridge

import (
	"cmp"

	"flowbridge/b2bua/registry"
	"flowbridge/b2bua/snapshot"
	"flowbridge/media"
)

// This file transcodes between Opus and G.711 if the sides have no codec in common. The agreement decides which
// side needs a transcoder (agreement.Agreement.Turn, sdp.Description.Inside), and the media runs it (media.Transcode).

// Transcoding keeps the media's transcoders in line with the sides' descriptions.
type Transcoding struct {
	idle
	is [2]media.Transcode // settings that the media has, by side
}

// transcodeSession has the methods of the media session that Transcoding uses.
type transcodeSession interface {
	SetTranscode(side media.Side, t media.Transcode) error
}

func (t *Transcoding) open(b *Bridge) {
	t.bridge = b
	b.Agreement.Transcoder = b.place(b.Transcoders)
}

// restore takes over the transcoding of an old process. The restored media already transcodes.
func (t *Transcoding) restore(*snapshot.Bridge) {
	b := t.bridge
	b.Agreement.Transcoder = b.place(b.Transcoders)
	for side := range t.is {
		t.is[side] = b.Agreement.Transcode(media.Side(side))
	}
}

func (t *Transcoding) on(e Event) (handled bool) {
	switch e := e.(type) {
	case Turned:
		t.settle()
	case describing:
		t.apply()
	case media.EventFailed:
		t.bridge.Log.Error().Err(e.Err).Stringer("side", e.Side).Msg("transcoder failed")
		t.bridge.Ladder.Decide("the transcoder of side %v has failed: %v", e.Side, e.Err)
		return true
	}
	return false
}

// settle claims a transcoder place for a transcoded call, and releases the place once the call certainly needs
// none.
func (t *Transcoding) settle() {
	b := t.bridge
	switch place := &b.Agreement.Transcoder; {
	case t.is != [2]media.Transcode{}:
		place.Claim(true)
	case place.Has() && !b.Agreement.Late && !b.Exchanges.Underway():
		if now := b.Call.Moment(); now.Answered && !now.Transfer && !now.First {
			place.Release()
		}
	}
}

// show adds the names of the transcoded codecs.
func (t *Transcoding) show(live *registry.LiveCall) {
	live.Transcodes = cmp.Or(t.bridge.Agreement.Transcodes(media.SideA), t.bridge.Agreement.Transcodes(media.SideB))
}

// apply sends changed transcoding settings to the media.
func (t *Transcoding) apply() {
	b := t.bridge
	for side := range t.is {
		side := media.Side(side)
		wants := b.Agreement.Transcode(side)
		if b.Media.session == nil || wants == t.is[side] {
			continue
		}
		if wants.On != t.is[side].On || wants.Number != t.is[side].Number {
			if names := b.Agreement.Transcodes(side); names != "" {
				b.Ladder.Decide("side %v: %s", side, names)
			} else {
				b.Ladder.Decide("side %v is not transcoded any more", side)
			}
		}
		t.is[side] = wants
		if err := b.Media.session.SetTranscode(side, wants); err != nil {
			b.Media.On(media.EventFailed{Side: side, Err: err})
		}
	}
}

func (t *Transcoding) end() {
	t.is = [2]media.Transcode{}
	t.bridge.Agreement.Transcoder.Release()
}
