package bridge

import "flowbridge/media"

// OrderError says why a call can't carry out an order.
type OrderError struct {
	Problem string
	Remedy  string
}

func (e *OrderError) Error() string { return e.Problem + "; " + e.Remedy }

// PlayRequest is a sound for a side of a live call.
type PlayRequest struct {
	Side  media.Side
	Sound string // of the configuration's sounds, one of audio.Tones, or SoundNone
	Loop  bool   // until SoundNone
}

// SoundNone ends the present sound.
const SoundNone = "none"
