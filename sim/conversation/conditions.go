package conversation

import (
	"math/rand/v2"
	"time"

	"flowbridge/media/audio"
)

// Condition describes the effects on a conversation between the speakers and the measurement.
type Condition struct {
	Name          string
	Caller, Agent float64       // active speech level, dBm0
	Noise         string        // on the caller's side, a key of Sounds.Noise; may be empty
	SNR           float64       // signal-to-noise ratio, dB
	Echo          float64       // level of the agent's echo in the caller's direction, dB; 0 for none
	DTX           bool          // the caller's phone sends one comfort noise and then nothing while the caller is silent
	Comfort       float64       // noise on the agent's side, dBm0; 0 for none
	Loss          float64       // share of packets lost
	Jitter        float64       // standard deviation, ms
	Keys          bool          // a keyboard clicks on the agent's side while the agent is silent
	Clicks        [2]float64    // level of each side's keyboard relative to its speech, dB; 0 for none
	Room          float64       // each side's room and breaths relative to its speech, dB; 0 for none
	Coded         bool          // what a codec leaves in the pauses of both voices, 42 dB below their peaks
	Ringback      string        // rings on the agent's side before its first words: a key of ringing
	Hold          bool          // the agent puts the caller on hold, with music
	Length        time.Duration // duration of a packet, a multiple of 10 ms
	Law           audio.Law

	// Soil, if set, adds something else to a side, whose speech has this level, full scale being 1.
	Soil func(c *Conversation, rng *rand.Rand, out []float64, side int, speech float64)
}

// Conditions returns the conditions for which figures are published. The first condition is a quiet line. Each
// other condition differs from it in one respect.
func Conditions() []Condition {
	quiet := Condition{Caller: -20, Agent: -20, Noise: "line", SNR: 35, Length: 20 * time.Millisecond}
	var all []Condition
	of := func(name string, change func(c *Condition)) {
		c := quiet
		c.Name = name
		change(&c)
		all = append(all, c)
	}
	of("quiet", func(*Condition) {})
	of("quiet A-law", func(c *Condition) { c.Law = audio.ALaw })
	of("echo -25 dB", func(c *Condition) { c.Echo = -25 })
	of("loss 3 %", func(c *Condition) { c.Loss = 0.03 })
	of("jitter 20 ms", func(c *Condition) { c.Jitter = 20 })
	of("DTX", func(c *Condition) { c.DTX = true })
	of("comfort noise -45", func(c *Condition) { c.Comfort = -45 })
	of("keyboard", func(c *Condition) { c.Keys = true })
	for _, ms := range []time.Duration{10, 30, 40, 60} {
		of("ptime "+(ms*time.Millisecond).String(), func(c *Condition) { c.Length = ms * time.Millisecond })
	}
	of("caller -30 dBm0", func(c *Condition) { c.Caller = -30 })
	of("caller -40 dBm0", func(c *Condition) { c.Caller, c.SNR = -40, 25 })
	for _, noise := range []string{"line", "babble", "street", "music"} {
		of(noise+" 20 dB", func(c *Condition) { c.Noise, c.SNR = noise, 20 })
		of(noise+" 10 dB", func(c *Condition) { c.Noise, c.SNR = noise, 10 })
	}
	return all
}

// Families returns conditions on which nothing was tuned by those of [Conditions]: pauses that are not silent, a trunk
// that rings in-band, keyboards, music on hold.
func Families() (all []Condition) {
	of := func(name string, change func(c *Condition)) {
		c := Conditions()[0]
		c.Name = name
		change(&c)
		all = append(all, c)
	}
	of("coded pauses", func(c *Condition) { c.Coded = true })
	of("room -40 dB", func(c *Condition) { c.Room = -40 })
	of("room -30 dB", func(c *Condition) { c.Room = -30 })
	for _, country := range []string{"us", "uk", "japan"} {
		of("ringback "+country, func(c *Condition) { c.Ringback = country })
	}
	of("agent types -12 dB", func(c *Condition) { c.Clicks[Agent] = -12 })
	of("caller types -20 dB", func(c *Condition) { c.Clicks[Caller] = -20 })
	of("music on hold", func(c *Condition) { c.Hold = true })
	return all
}
