package config

import (
	"errors"

	"flowbridge/media/audio"
)

// HoldNone is the value of routes[].hold that plays nothing.
const HoldNone = "none"

// sounds reads the section `sounds`: names of WAV files.
func (s section) sounds(name string) map[string]*audio.Sound {
	if !s.has(name) {
		return nil
	}
	all := map[string]*audio.Sound{}
	for _, e := range s.entriesOf(name) {
		if _, taken := audio.Tone(e.key); taken || e.key == HoldNone {
			e.l.fail(e.line, e.path, "is the name of a tone that is built in", "give the sound another name")
			continue
		}
		if _, c := parseName(e.key); !c.none() {
			e.l.fail(e.line, e.path, c.problem, c.remedy)
			continue
		}
		e.l.sounds[e.key] = true // so that routes that name a broken sound are not reported
		text, ok := e.scalar()
		if !ok {
			continue
		}
		sound, c := readSound(text.text)
		if !c.none() {
			text.complain(c)
			continue
		}
		all[e.key] = sound
	}
	return all
}

// Sounds returns the names of the sounds and tones that a route plays.
func (r *Route) Sounds() []string {
	names := []string{r.Ringback, r.Hold}
	if r.Queue != nil {
		names = append(names, r.Queue.Sound)
	}
	if r.Tell != nil {
		told, _ := r.Tell.Sound.Constant()
		names = append(names, told, r.Tell.NotTaken)
	}
	return names
}

// playable is the remedy in complaints about a sound file.
const playable = "name a WAV file: mono, 8000 Hz, 16-bit PCM or G.711"

func readSound(path string) (*audio.Sound, complaint) {
	f, _, c := openRegular(path, playable)
	if !c.none() {
		return nil, c
	}
	defer func() { _ = f.Close() }() // it was only used for reading
	sound, err := audio.ReadWAV(f)
	switch {
	case errors.Is(err, audio.ErrLong):
		return nil, refuse("is "+err.Error(), "cut it: sox IN.wav OUT.wav trim 0 600")
	case errors.Is(err, audio.ErrWAV), errors.Is(err, audio.ErrSound):
		return nil, refuse("is "+err.Error(), "convert it: sox IN -r 8000 -c 1 -b 16 OUT.wav")
	case err != nil:
		return nil, refuse("cannot be read: "+reason(err), playable)
	}
	return sound, complaint{}
}
