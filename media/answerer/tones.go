package answerer

import (
	"math"
	"math/bits"
)

const (
	rate      = 8000
	windowLen = 256 // number of samples in 32 ms, of which the last 20 ms are the block
	lobe      = 2   // bins on each side over which a frequency spreads, with a Hann window
	levelMax  = 80  // dB; 0 is -75 dBm0
	full      = 9   // dB from level 0 down to a mean square of 1; a full-scale sine has 3.17 dBm0 (ITU-T G.711)
)

// These are the limits for tones.
const (
	purity    = 0.75 // share of the power at a tone's frequency
	puritySum = 0.85 // like purity, for the two frequencies of a double tone
	otherMost = 0.05 // if a second frequency has this share, the tone counts as a double tone
	toneMin   = 350  // lowest frequency of a beep, in Hz
	toneMax   = 2300
	voiceMax  = 600  // highest pitch of a voice, in Hz
	voicePure = 0.97 // share of the power at a beep's frequency
)

// sound describes a block.
type sound struct {
	level  int     // dB, or absent
	hertz  float32 // the strongest frequency
	share  float32 // the frequency's share of the power
	low    float32 // the lower of the two strongest frequencies in Hz, or the only one
	high   float32
	single bool // a single steady tone
	tonal  bool // one or two tones, as in the previous block
}

//nolint:gochecknoglobals // constant tables, never modified
var hann, cosine, sine = tables()

func tables() (hann, cosine, sine [windowLen]float32) {
	for i := range hann {
		s, c := math.Sincos(2 * math.Pi * float64(i) / windowLen)
		hann[i], cosine[i], sine[i] = float32(0.5-0.5*c), float32(c), float32(s)
	}
	return hann, cosine, sine
}

// spectrum returns the power in each bin, by a radix-2 Fourier transform.
func spectrum(samples *[windowLen]float32) (power [windowLen / 2]float32) {
	var re, im [windowLen]float32
	for i, x := range samples {
		re[bits.Reverse8(uint8(i))] = x * hann[i]
	}
	for size := 1; size < windowLen; size *= 2 {
		for k := range size {
			c, s := cosine[k*(windowLen/2/size)], sine[k*(windowLen/2/size)]
			for i := k; i < windowLen; i += 2 * size {
				j := i + size
				x, y := re[j]*c+im[j]*s, im[j]*c-re[j]*s
				re[j], im[j] = re[i]-x, im[i]-y
				re[i], im[i] = re[i]+x, im[i]+y
			}
		}
	}
	for i := range power {
		power[i] = re[i]*re[i] + im[i]*im[i]
	}
	return power
}

// peak returns the strongest frequency and its power, and removes it from power.
func peak(power *[windowLen / 2]float32) (hertz, strength float32) {
	at := lobe
	for i := lobe; i < len(power)-lobe; i++ {
		if power[i] > power[at] {
			at = i
		}
	}
	for i := at - lobe; i <= at+lobe; i++ {
		hertz, strength, power[i] = hertz+float32(i)*power[i], strength+power[i], 0
	}
	return hertz / (strength + 1e-9) * rate / windowLen, strength
}

// listen describes the block at the end of a window.
func listen(w *[windowLen]float32, before sound) (s sound) {
	square, all := float32(0), float32(0)
	for _, x := range w {
		square += x * x
	}
	s.level = min(max(0, int(math.Round(10*math.Log10(float64(square)/windowLen+1e-9)))-full), levelMax)
	if s.level < speechMin {
		return s
	}
	power := spectrum(w)
	for _, p := range power {
		all += p
	}
	first, p := peak(&power)
	second, q := peak(&power)
	if q < otherMost*all {
		second = first
	}
	s.hertz, s.share, s.low, s.high = first, p/all, min(first, second), max(first, second)
	s.single = p >= purity*all && first == second && first >= toneMin && first <= toneMax
	s.tonal = s.single || p+q >= puritySum*all && within(s.low, before.low, 60) && within(s.high, before.high, 60)
	return s
}

// These are limits, in blocks.
const (
	resumes    = 4   // longest gap between two blocks of the same tone
	fades      = 2   // windows in which a codec lets a tone fade
	settles    = 1   // windows that contain the end of a tone and the sound after it
	beepMin    = 3   // 0.1 s has that many windows
	beepMax    = 100 // longest beep
	beepPause  = 12  // shortest silence after a beep
	voicedMin  = 5   // at a voice's pitch, a shorter tone is no beep
	voicedMax  = 8   // and one shorter than this must be pure
	burstMax   = 45  // longest beep at the frequency of a progress tone
	burstPause = 35
	burstAgain = 250 // if the same tone comes again within this time, it is a cadence
	informMin  = 6   // shortest special information tone
	informGap  = 5   // longest gap between two of them
	faxMin     = 18  // shortest CED or CNG
)

// informs are the frequencies of special information tones (ITU-T E.180 §6) in Hz. The North American ones are
// similar.
//
//nolint:gochecknoglobals // constant table, never modified
var informs = [3]float32{950, 1400, 1800}

// run is a single tone in progress. Places are blocks.
type run struct {
	hertz, share        float32 // means
	level               int
	first, last, blocks int  // blocks is 0 if there is no tone
	informs             bool // it is the next special information tone in their order
}

// follow processes a block, and reports whether it ends the silence after a beep.
func (d *Detector) follow(s sound) (beep bool) {
	r := &d.run
	switch since := d.blocks - r.last; {
	case !s.single && r.blocks == 0:
		return false
	case !s.single && s.level > r.level-above && since > settles:
		d.forget()
		return false
	case !s.single, r.blocks >= beepMin && since <= fades && s.level < r.level-above:
		return d.beeped(since)
	case !r.same(s.hertz) || abs(s.level-r.level) > 4 || since > resumes:
		d.forget()
		*r = run{level: s.level, first: d.blocks}
	}
	r.blocks++
	r.last = d.blocks
	r.hertz += (s.hertz - r.hertz) / float32(r.blocks)
	r.share += (s.share - r.share) / float32(r.blocks)
	if r.blocks == informMin {
		if r.first-d.informedAt > informGap {
			d.informed = 0
		}
		r.informs = d.informed < len(informs) && within(r.hertz, informs[d.informed], 60)
		if r.informs {
			d.informed++
		}
	}
	if r.informs {
		d.informedAt = d.blocks
	}
	return false
}

// forget ends a run that is not a beep.
func (d *Detector) forget() {
	if d.run.blocks >= beepMin && d.run.progress() {
		d.cadence = d.run
	}
	d.run.blocks, d.run.informs = 0, false
}

// beeped reports whether the run was a beep followed by enough blocks of silence.
func (d *Detector) beeped(since int) bool {
	r, most, pause := &d.run, beepMax, beepPause
	if r.progress() {
		most, pause = burstMax, burstPause
	}
	if since < pause {
		return false
	}
	length := r.last - r.first + 1
	again := d.cadence.same(r.hertz) && r.first-d.cadence.last < burstAgain
	voiced := r.hertz < voiceMax && (r.blocks < voicedMin || r.blocks < voicedMax && r.share < voicePure)
	if r.blocks >= beepMin && 2*r.blocks >= length && length <= most && !again && !voiced {
		return true
	}
	d.forget()
	return false
}

// progress reports whether the frequency is used by ringing and busy tones (ITU-T E.180 Supplement 2).
func (r *run) progress() bool { return within(r.hertz, 440, 55) || within(r.hertz, 620, 15) }

func (r *run) same(hertz float32) bool { return r.blocks > 0 && within(r.hertz, hertz, 12) }

// isFax reports whether the run is CED or, if there was no speech, CNG (ITU-T T.30 §4.3). Beeps may sound like CNG.
func (r *run) isFax(speech bool) bool {
	return 3*r.blocks >= 2*faxMin && r.last-r.first >= faxMin &&
		(within(r.hertz, 2100, 25) || !speech && within(r.hertz, 1100, 40))
}

// clarity returns how pure the tone was, 0 to 1.
func (r *run) clarity() float64 { return min(1, max(0, float64(r.share-purity)/0.2)) }

func within(a, b, most float32) bool { return a-b <= most && b-a <= most }

func abs(n int) int { return max(n, -n) }
