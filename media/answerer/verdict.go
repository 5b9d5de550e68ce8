package answerer

// These are limits, in blocks.
const (
	firstRun = 3  // loud blocks in a row that start an utterance
	goingOn  = 2  // loud blocks in a row that prolong it
	clickMax = 7  // a sound with at most this many loud blocks before silence is no utterance
	greeting = 90 // an utterance at least this long, with no pause longer than greetMax, is a machine's
	greetMax = 30
	hello    = 60 // an utterance at most this long is a person's, if silence follows
	silence  = 35
	// A greeting of at most this length is a call screening's, if this much silence follows and no beep. If a beep comes
	// this long after the verdict, it was a machine's. Google's longest prompt takes some 9 s.
	promptMax = 500
	expects   = 75
	retract   = 500
	clearly   = 0.9 // of utterance.clear: with less, noise may be what goes on
)

// These are limits, in dB.
const (
	speechMin = 30 // level of -45 dBm0: quieter sound is not speech
	swingMin  = 12 // from the noise to the speaker; a smaller difference means that the noise is steady
	above     = 5  // a loud block is at least this far above the noise
	below     = 24 // a loud block is at most this far below the speaker
)

// utterance is the first utterance. Places are blocks.
type utterance struct {
	first, last int // first is negative if there was no utterance
	loud, tones int // blocks
	pause       int // the longest pause within it
	clear       float64
}

// decide gives a verdict if possible: from tones, or else from speech.
func (d *Detector) decide() {
	u, r := d.utterance(), &d.run
	tone, sure := u.tones*2 > u.loud, 0.5+r.clarity()/2
	d.greeted = u.first >= 0 && !tone
	switch {
	case d.beeps && !d.greeted: // a beep without a greeting
		d.conclude(Machine, "", 0.5+r.clarity()/4)
	case d.beeps:
		d.conclude(Machine, "", sure)
	case d.prompt > 0:
		d.screen(u)
	case d.informed == len(informs):
		d.conclude(SIT, "", sure)
	case r.isFax(4*(u.loud-u.tones) > u.tones):
		d.conclude(Fax, "", sure)
	case d.foreign && !d.judged && d.after(0) >= d.limits.Within:
		d.conclude(Unknown, Codec, 0)
	case u.first >= 0:
		d.measure(u, tone)
	case d.after(0) >= d.limits.Silence:
		d.conclude(Unknown, Silence, 0)
	}
}

// measure gives a verdict if the length of the utterance allows one, or if the time is up.
func (d *Detector) measure(u utterance, tone bool) {
	length := u.last - u.first + 1
	tone = tone && (length <= hello || u.clear <= clearly || u.tones*10 > u.loud*7) // a clear voice may reach 6 of 10
	switch {
	case !tone && length >= greeting && u.pause <= greetMax:
		d.sure = 0.5 + u.clear*(1-float64(u.pause)/greetMax)/2
		if d.prompt = u.first + 1; !d.limits.Screening {
			d.conclude(Machine, "", d.sure)
		}
	case !tone && length <= hello && d.blocks-1-u.last >= silence:
		d.conclude(Human, "", 0.5+u.clear*min(1, 2*(1-float64(length)/hello))/2)
	case d.after(-u.first) < d.limits.Within && d.after(0) < d.limits.Silence+d.limits.Within:
	case tone:
		d.conclude(Unknown, Tone, 0)
	case d.limits.Screening && length > hello && d.blocks-1-u.last < silence && u.clear > clearly:
		if u.last == d.blocks-1 { // it goes on
			d.prompt, d.sure = u.first+1, 0.5
		}
	default:
		d.conclude(Unknown, Undecided, 0)
	}
}

// screen gives a verdict once it is known how a greeting goes on. Whoever falls silent after a short one waits for the
// caller's words.
func (d *Detector) screen(u utterance) {
	length := u.last - d.prompt
	switch {
	case length > promptMax, d.blocks-d.prompt > promptMax+expects:
		d.conclude(Machine, "", d.sure)
	case u.first >= 0 && d.blocks-1-u.last >= expects:
		d.conclude(Screening, "", 0.5+u.clear*min(1, 2*(1-float64(length)/promptMax))/2)
	}
}

// utterance finds the first utterance in all blocks so far.
func (d *Detector) utterance() (u utterance) {
	u.first = -1
	var counts [levelMax + 1]int
	all, low, high := 0, 0, levelMax
	for _, l := range d.levels[:d.blocks] {
		if l != absent {
			counts[l]++
			all++
		}
	}
	for n := counts[low]; low < levelMax && n*10 <= all; n += counts[low] { // the quietest tenth counts as noise
		low++
	}
	for n := counts[high]; high > 0 && n <= firstRun; n += counts[high] { // the loudest few blocks are ignored
		high--
	}
	if high < speechMin || high-low < swingMin {
		return u
	}
	u.clear = min(1, float64(high-low-swingMin)/15)
	least := int8(max(speechMin, low+above, low+(high-low)*2/5, high-below))
	for i, in := 0, 0; i < d.blocks; i++ {
		if d.levels[i] < least {
			in = 0
			if u.first >= 0 && u.loud <= clickMax && i-u.last >= silence {
				u = utterance{first: -1, clear: u.clear}
			}
			continue
		}
		in++
		more := 1
		switch {
		case u.first < 0 && in < firstRun, in < goingOn:
			continue
		case u.first < 0:
			u.first, more = i-firstRun+1, firstRun
		case in == goingOn:
			u.pause, more = max(u.pause, i-goingOn-u.last), goingOn
		}
		u.last = i
		for _, tonal := range d.tonal[i+1-more : i+1] {
			if u.loud++; tonal {
				u.tones++
			}
		}
	}
	return u
}
