package answerer

import (
	"time"

	"flowbridge/media/audio"
	"flowbridge/media/voice"
)

// Verdict says what answered a call.
type Verdict string

// The verdicts.
const (
	Unknown Verdict = "unknown"
	Human   Verdict = "human"
	Machine Verdict = "machine" // a machine's greeting or its beep
	// Screening is a phone that asks for the caller's name and reason in place of its owner, who is there.
	Screening Verdict = "screening"
	Fax       Verdict = "fax"
	SIT       Verdict = "sit" // special information tones: the network could not connect the call
)

// Reason says why a verdict is Unknown.
type Reason string

// The reasons.
const (
	Undecided Reason = "undecided" // speech that fits neither a person nor a machine
	Silence   Reason = "silence"   // only steady noise
	Tone      Reason = "tone"      // a tone such as ringing, busy or a key
	Codec     Reason = "codec"     // not G.711
	Replaced  Reason = "replaced"  // another process took over before the verdict; the detector never sets it
)

// Answer is the verdict. Confidence says how clear the evidence was: 0.5 means just sufficient, 1 means that it could
// hardly be clearer, and 0 means that the verdict is Unknown. It is not a probability.
type Answer struct {
	Verdict    Verdict
	Reason     Reason // set if Verdict is Unknown
	Confidence float64
	After      time.Duration // time from the answer to the verdict
	Mailbox    bool          // a beep has followed its greeting
}

// String returns the verdict with its reason.
func (a Answer) String() string {
	if a.Reason == "" {
		return string(a.Verdict)
	}
	return string(a.Verdict) + " (" + string(a.Reason) + ")"
}

// Beep ends the wait for a beep.
type Beep struct {
	Heard bool // false if no beep came
	After time.Duration
}

// Limits say how long the detector listens. A zero or out-of-range value means the default.
type Limits struct {
	Within time.Duration // longest time from the first sound to the verdict: 2 s by default, at most 5 s
	// Silence is the longest time from the answer to the first sound: 4 s by default, at most 5 s. A fax is silent for
	// up to 2.5 s.
	Silence time.Duration
	// Beep is the longest time from the verdict to the beep: at most 5 min; 0 means not to wait for a beep.
	Beep time.Duration
	// Screening says whether call screening is told from a machine. The verdict about a greeting then comes when the
	// greeting has lasted for 10 s, with its beep, or when 1.5 s of silence have followed it.
	Screening bool
}

const (
	blockLen   = 160 // samples
	blockTime  = 20 * time.Millisecond
	mostBlocks = 1100                   // blocks until the verdict, with the longest limits
	absent     = -1                     // the level of a block without a packet
	gone       = 200 * time.Millisecond // after this time without a packet, the sender counts as silent
	jump       = voice.Tick * 4000      // a timestamp this far from its expected time means another clock
)

// Detector judges one side of a call. It allocates nothing after New. Places in the stream are counted in samples since
// start.
type Detector struct {
	// Constant.
	limits Limits
	start  time.Duration
	answer func(Answer)
	beep   func(Beep)

	timestamp       uint32
	next            int64         // the place that belongs to timestamp
	heard           time.Duration // when the last packet came
	started         bool
	judged, foreign bool // whether a packet of G.711 came; whether one of another codec came
	window          [windowLen]float32
	fresh           int // number of samples in the window that belong to the next block

	blocks     int // blocks so far; all places below count in blocks
	levels     [mostBlocks]int8
	tonal      [mostBlocks]bool
	last       sound // the last block that was heard
	run        run
	cadence    run     // the last run that may have been part of ringing or of a busy tone
	informed   int     // number of special information tones so far
	informedAt int     // the last block of the latest one
	prompt     int     // the start of a greeting that may be a call screening's; 0 before there is one
	sure       float64 // the confidence that it is a machine's
	answered   bool
	beeps      bool // the last block has completed a beep
	greeted    bool // somebody or something has spoken before the verdict
	revokes    bool // a beep changes the verdict to Machine
	until      int  // when the wait for a beep ends; 0 if there is none
	over       bool
}

// New returns a detector for a call that was answered at start, by the clock of voice.Packet.Arrival. The detector
// calls answer one time, and one more time if a beep shows that it was a machine. After that it calls beep at most one
// time.
func New(l Limits, start time.Duration, answer func(Answer), beep func(Beep)) *Detector {
	or := func(d *time.Duration, most, otherwise time.Duration) {
		if *d <= 0 || *d > most {
			*d = otherwise
		}
	}
	or(&l.Within, 5*time.Second, 2*time.Second)
	or(&l.Silence, 5*time.Second, 4*time.Second)
	or(&l.Beep, 5*time.Minute, 0)
	return &Detector{limits: l, start: start, heard: start, answer: answer, beep: beep}
}

// Over reports whether the detector has nothing left to report.
func (d *Detector) Over() bool { return d.over }

// Due returns when Look must be called next.
func (d *Detector) Due() time.Duration { return d.start + d.after(2) + gone }

// after returns how long after the answer the given number of further blocks will have ended.
func (d *Detector) after(more int) time.Duration { return time.Duration(d.blocks+more) * blockTime }

// Packet judges a packet.
func (d *Detector) Packet(p voice.Packet) {
	decode := audio.DecodeULaw
	switch p.Content {
	case voice.MuLaw:
		d.judged = true
	case voice.ALaw:
		d.judged, decode = true, audio.DecodeALaw
	case voice.ComfortNoise:
		p.Payload = nil
	case voice.Opaque, voice.Keys:
		d.foreign = d.foreign || p.Content == voice.Opaque
		return
	}
	if !d.place(&p) {
		return
	}
	for rest := p.Payload; len(rest) > 0 && !d.over; {
		n := min(len(rest), blockLen-d.fresh)
		copy(d.window[:], d.window[n:])
		for i, code := range rest[:n] {
			d.window[windowLen-n+i] = float32(decode(code))
		}
		d.fresh, rest = d.fresh+n, rest[n:]
		if d.fresh == blockLen {
			d.fresh, d.last = 0, listen(&d.window, d.last)
			d.push(d.last)
		}
	}
}

// place finds where a packet starts, and passes over missing blocks before it. It returns false if the packet is late
// or a duplicate. Within a stream the timestamp gives the place. The arrival time gives it after a jump, for another
// stream, and if a sender's clock stood still during silence.
func (d *Detector) place(p *voice.Packet) (fresh bool) {
	n := int64(len(p.Payload))
	due, at := int64((p.Arrival-d.start)/voice.Tick)-n, d.next+int64(int32(p.Timestamp-d.timestamp))
	away, silent := time.Duration(due-at)*voice.Tick, p.Arrival-d.heard
	known := d.started && away.Abs() <= jump && (silent <= gone || away <= silent/2)
	if known && at < d.next {
		return false
	}
	if !known {
		at = max(due, d.next)
	}
	d.started, d.heard, d.next, d.timestamp = true, p.Arrival, at+n, p.Timestamp+uint32(n)
	if int(at/blockLen) > d.blocks {
		clear(d.window[:]) // a gap within a tone would look like another frequency
		d.pass(at)
	}
	return true
}

// pass judges the missing blocks up to a place.
func (d *Detector) pass(to int64) {
	for d.fresh = 0; int64(d.blocks+1)*blockLen <= to && !d.over; {
		d.push(sound{level: absent})
	}
}

// Look updates the detector. A packet that has not come by now, some time after it was due, counts as not sent.
func (d *Detector) Look(now time.Duration) {
	if now-d.heard < gone {
		return
	}
	d.pass(int64((now - gone - d.start) / voice.Tick))
	if ahead := int64(d.blocks)*blockLen - d.next; ahead > 0 {
		d.next, d.timestamp = d.next+ahead, d.timestamp+uint32(ahead)
	}
}

// push judges the next block.
func (d *Detector) push(s sound) {
	d.beeps = d.follow(s)
	if !d.answered {
		d.levels[d.blocks], d.tonal[d.blocks] = int8(s.level), s.tonal
	}
	switch d.blocks++; {
	case !d.answered:
		d.decide()
	case d.revokes && d.beeps: // of a mailbox that was silent before it
		d.conclude(Machine, "", 0.5+d.run.clarity()/2)
	}
	d.over = d.answered && (d.beeps || d.blocks >= d.until)
	if d.over && d.until > 0 && !d.revokes {
		d.beep(Beep{Heard: d.beeps, After: d.after(0)})
	}
}

// conclude reports the verdict.
func (d *Detector) conclude(v Verdict, r Reason, confidence float64) {
	d.answered, d.until = true, 0
	d.revokes = v == Screening || d.limits.Screening && (r == Undecided || r == Tone)
	switch {
	case d.revokes:
		d.until = d.blocks + retract
	case d.limits.Beep > 0 && (v == Machine || v == Unknown) && r != Codec:
		d.until = d.blocks + int(d.limits.Beep/blockTime)
	}
	d.answer(Answer{Verdict: v, Reason: r, Confidence: confidence, After: d.after(0), Mailbox: d.beeps && d.greeted})
}
