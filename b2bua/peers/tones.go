package peers

import (
	"maps"

	"flowbridge/audio"
	"flowbridge/config"
)

// tones are the tones and sounds of a configuration, by name.
type tones map[string]*audio.Sound

// tonesOf are those that routes name, and the sounds.
func tonesOf(cfg *config.Config) tones {
	all := tones{}
	maps.Copy(all, cfg.Sounds)
	all[ToneBeep], _ = audio.Tone(ToneBeep)
	for i := range cfg.Routes {
		for _, name := range []string{cfg.Routes[i].Ringback, cfg.Routes[i].Hold} {
			if all[name] != nil {
				continue
			}
			if tone, ok := audio.Tone(name); ok {
				all[name] = tone
			}
		}
	}
	return all
}

// ToneBeep is the tone that says that a call is recorded.
const ToneBeep = "beep"
