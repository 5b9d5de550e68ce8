package conversation

import (
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
	Length        time.Duration // duration of a packet, a multiple of 10 ms
	Law           audio.Law
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
