package voice

import "time"

// Tick is the unit of times within a stream: G.711 has 8000 codes a second, whatever the clocks say.
const Tick = time.Second / 8000

const (
	tick        = Tick
	millisecond = 8
	second      = 1000 * millisecond
)

// A packet is judged in blocks of 20 ms, plus one of 10 ms if that much remains. The rest counts as sounding like the
// block before it. So a packet of 10 to 60 ms has at most three blocks. The kernel's verifier needs such a bound.
const (
	blockLen  = 160 // codes
	blockHalf = 80
	blocksMax = 3
)

// These are levels, in units of level. A random search found them, on synthetic voices, espeak-ng and prompts of two
// speakers, for the smallest error of turn latency and barge-in; then they were rounded. The tests use other voices.
const (
	least    = 128           // a quieter sound is not speech: about -50 dBm0
	onset    = 170           // above the noise: clear speech
	offset   = 60            // above the noise: speech continues
	unsteady = 272           // noise varies less, and within a second speech varies more: 6 dB
	depth    = 200           // below the middle between the noise and the speaker's current level,
	deep     = 600           // and so far below that level: no longer speech. A word ends some 20 dB below it
	reach    = 450           // if all blocks are further below the speaker's usual level, speech does not start
	usual    = 900           // assumed level of a speaker who has not spoken yet, about -25 dBm0
	pure     = 96            // the peaks of a tone vary less, 2.2 dB; its beats and cadence do not count
	fall     = 3             // a shift by this turns ticks into how far a peak falls: 23 dB a second
	spread   = 15            // onset and offset are raised by this many eighths of the noise's swing
	fine     = 64            // floor, swing and usual level are counted in 64ths
	toLevel  = 6             // a shift by this turns 64ths into levels
	floorMin = least * 3 / 4 // minimum of offset
)

// These are times, in ticks.
const (
	begin    = 70 * millisecond  // after this much above onset and reach without a gap, speech has started
	restart  = 40 * millisecond  // after this much above onset without a gap, speech continues
	bridge   = 50 * millisecond  // a longer gap ends a run of blocks above offset
	hangover = 200 * millisecond // a longer gap ends a segment
	longest  = 60 * second       // a segment is returned then, even if speech continues

	steady      = 800 * millisecond // sound that hardly varies for this long is noise
	steadyFirst = steady * 5 / 8    // steady before any speech was heard; not a vowel within the first words
	ringMin     = 300 * millisecond // a burst of a ringing tone before any speech was heard; a shorter one may be a vowel
	ringMax     = 1100 * millisecond

	pause     = 200 * millisecond // after a longer gap without packets, the sender's clock may have stood still
	jump      = 2 * second        // a timestamp this far from its expected time means another clock
	lateInRow = 8                 // late packets in a row that mean a clock was set back
)

// Reason says why speech is not measured.
type Reason string

// The reasons.
const (
	Measured    Reason = ""
	NoAudio     Reason = "no_audio"      // no packet yet
	OtherCodec  Reason = "codec"         // neither G.711 nor comfort noise
	OtherLength Reason = "packet_length" // G.711 in packets of less than 10 ms, or of 70 ms or more
)

// Segment is speech of one side. It contains no pause longer than 200 ms, and is at most a minute long. Longer speech
// continues in another segment without a gap.
type Segment struct {
	From, To time.Duration // measured by the clock of Packet.Arrival
	Level    int32         // mean level of the clear blocks, 0 to LevelMax; see Decibels
	Noise    int32         // level of the background at the end, in the same units; equal to Level if the sound was steady
	Sparse   bool          // clear blocks are less than two fifths, as with typing; a voice seldom has so few
	Tone     bool          // the peaks hardly varied, as in a burst of a tone
}

// Packet holds the parts of an RTP packet that a detector uses. The payload excludes header extension and padding.
type Packet struct {
	Arrival   time.Duration // measured by any monotonic clock, which must not change during a call
	SSRC      uint32
	Timestamp uint32
	Content   Content
	Payload   []byte
}

// Detector finds the segments of one side of a call. The zero value is ready to use. It has a fixed size and no
// pointers. So a kernel map can hold the same fields, and another process can continue a detector; that is why the
// fields are exported. Places in the stream are ticks since an arbitrary start, and only grow.
type Detector struct {
	Base    int64 `cbor:"1,keyasint,omitempty"` // place + Base is the arrival of the fastest recent packets
	Next    int64 `cbor:"2,keyasint,omitempty"` // place after the last judged block
	Heard   int64 `cbor:"3,keyasint,omitempty"` // arrival of the last packet; Window is on the same clock
	Window  int64 `cbor:"4,keyasint,omitempty"` // start of the measurement of Fastest
	Run     int64 `cbor:"5,keyasint,omitempty"` // Run and RunEnd are the places of the run of blocks above offset
	RunEnd  int64 `cbor:"6,keyasint,omitempty"`
	Start   int64 `cbor:"7,keyasint,omitempty"` // Start and End are the places of the segment
	End     int64 `cbor:"8,keyasint,omitempty"`
	Said    int64 `cbor:"9,keyasint,omitempty"` // when the previous segment ended, on the same clock as Heard
	Sum     int64 `cbor:"10,keyasint,omitempty"`
	Weight  int64 `cbor:"11,keyasint,omitempty"` // ticks of the segment's clear blocks; Sum is level times ticks
	Fastest int32 `cbor:"12,keyasint,omitempty"` // the least delay since Window, in ticks
	Loud    int32 `cbor:"13,keyasint,omitempty"` // ticks of the run above onset and reach
	Clear   int32 `cbor:"14,keyasint,omitempty"` // ticks of the run above onset
	Even    int32 `cbor:"15,keyasint,omitempty"` // ticks for which the level has stayed between Low and High
	High    int32 `cbor:"16,keyasint,omitempty"`
	Low     int32 `cbor:"17,keyasint,omitempty"`
	Floor   int32 `cbor:"18,keyasint,omitempty"` // level of the noise, in 64ths
	Swing   int32 `cbor:"19,keyasint,omitempty"` // mean distance of the noise from Floor, in 64ths
	Usual   int32 `cbor:"21,keyasint,omitempty"` // level of the speaker, in 64ths
	Now     int32 `cbor:"33,keyasint,omitempty"` // level of the speaker within the last second of the segment, in 64ths

	Key       uint32 `cbor:"34,keyasint,omitempty"` // timestamp of the last telephone-event; 0 if there was none
	SSRC      uint32 `cbor:"22,keyasint,omitempty"`
	Timestamp uint32 `cbor:"23,keyasint,omitempty"` // the timestamp that belongs to Next
	Judged    uint32 `cbor:"24,keyasint,omitempty"` // number of judged packets
	Foreign   uint16 `cbor:"25,keyasint,omitempty"` // packets of other codecs since the last judged one
	Long      uint16 `cbor:"26,keyasint,omitempty"` // packets of other lengths since the last judged one
	Late      uint8  `cbor:"27,keyasint,omitempty"` // late packets in a row
	Started   bool   `cbor:"28,keyasint,omitempty"`
	Running   bool   `cbor:"29,keyasint,omitempty"` // a run is in progress
	Talking   bool   `cbor:"30,keyasint,omitempty"` // a segment is in progress
	Varied    bool   `cbor:"31,keyasint,omitempty"` // the segment is not steady noise
	Known     bool   `cbor:"32,keyasint,omitempty"` // Usual has been measured
	Top       int16  `cbor:"35,keyasint,omitempty"` // the run's peak, which falls slowly
	Highest   int16  `cbor:"36,keyasint,omitempty"` // Highest and Lowest are those of Top within the segment
	Lowest    int16  `cbor:"37,keyasint,omitempty"`
}

// Packet judges a packet. If the packet shows that a segment has ended, Packet returns the segment. A key is returned
// with its first packet, as a segment without length.
func (d *Detector) Packet(p Packet) (ended Segment, ok bool) {
	n := int64(len(p.Payload))
	switch p.Content {
	case MuLaw, ALaw:
		if n < blockHalf || n >= blocksMax*blockLen+blockHalf {
			d.Long += min(1, ^d.Long)
			return Segment{}, false
		}
	case ComfortNoise:
		n = 0
	case Keys:
		if p.Timestamp == d.Key { // the key is still pressed
			return Segment{}, false
		}
		d.Key = p.Timestamp
		return Segment{From: p.Arrival, To: p.Arrival}, true
	case Opaque:
		d.Foreign += min(1, ^d.Foreign)
		return Segment{}, false
	}
	at, fresh := d.place(int64(p.Arrival/tick), n, p.SSRC, p.Timestamp)
	if !fresh {
		return Segment{}, false
	}
	d.Judged++
	d.Foreign, d.Long = 0, 0
	ended, ok = d.settle(at)
	for rest := p.Payload; n >= blockHalf; {
		size, look := n, int64(blockHalf)
		if n >= blockLen {
			look = blockLen
		}
		if n >= blockLen+blockHalf {
			size = blockLen
		}
		d.hear(at, size, level(rest[:look], p.Content))
		at, n, rest = at+size, n-size, rest[size:]
	}
	if d.Talking && d.End-d.Start >= longest {
		ended = d.segment()
		ok = ended.To > ended.From
		d.Start, d.Sum, d.Weight = d.End, 0, 0
	}
	return ended, ok
}

// Quiet reports whether no block of a packet that was just judged is louder than the noise. Unlike the pauses between
// segments, it takes the soft sounds within words for speech. Comfort noise is quiet.
func (d *Detector) Quiet(p Packet) bool {
	most := max(int64(d.Floor)>>toLevel+offset+spread*int64(d.Swing)>>(3+toLevel), floorMin)
	switch {
	case p.Content == ComfortNoise:
		return true
	case p.Content != MuLaw && p.Content != ALaw, len(p.Payload) < blockHalf:
		return false
	}
	for rest := p.Payload; len(rest) >= blockHalf; rest = rest[min(len(rest), blockLen):] {
		if level(rest[:min(len(rest), blockLen)], p.Content) >= most {
			return false
		}
	}
	return true
}

// place returns the place of a packet of n ticks. It returns false if the packet is late or a duplicate. Within a
// stream the timestamp gives the place. The arrival time gives it for another stream, after a jump, and if a sender's
// clock stood still during silence.
func (d *Detector) place(now, n int64, ssrc, timestamp uint32) (at int64, fresh bool) {
	if !d.Started {
		*d = Detector{
			Started: true, SSRC: ssrc, Timestamp: timestamp, Base: now - n, Heard: now, Said: now - n, Window: now,
			Fastest: jump, Usual: usual * fine, Floor: -1, Key: d.Key,
		}
	}
	due := now - n - d.Base
	at = d.Next + int64(int32(timestamp-d.Timestamp))
	late, silent := due-at, now-d.Heard
	switch {
	case ssrc != d.SSRC, late > jump, late < -jump, silent > pause && late > silent/2:
		at = max(due, d.Next)
	case at < d.Next:
		if d.Late++; d.Late < lateInRow {
			return 0, false
		}
		at = max(due, d.Next)
	}
	d.Late, d.SSRC, d.Heard = 0, ssrc, now
	d.Next, d.Timestamp = at+n, timestamp+uint32(n)
	late = due - at
	if late < 0 {
		d.Base, d.Fastest = d.Base+late, 0
	} else {
		d.Fastest = int32(min(int64(d.Fastest), late))
	}
	if now-d.Window > second { // clocks drift, and paths change
		d.Base, d.Window, d.Fastest = d.Base+int64(d.Fastest), now, jump
	}
	return at, true
}

// settle ends the run and the segment if they are over at a place.
func (d *Detector) settle(at int64) (ended Segment, ok bool) {
	if d.Talking && at-d.End > hangover {
		ended = d.segment()
		if ended.Noise < ended.Level {
			d.learn(int64(ended.Level)*fine, d.End-d.Start)
		}
		ok = ended.To > ended.From // else it ends before the previous segment, because the path has become faster
		d.Talking, d.Running = false, d.RunEnd > d.End
		d.Sum, d.Weight = 0, 0
	}
	if at-d.RunEnd > bridge {
		d.Running = false
	}
	return ended, ok
}

func (d *Detector) segment() Segment {
	from, to := max(d.Start+d.Base, d.Said), max(d.End+d.Base, d.Said)
	d.Said = to
	level, noise := d.levels()
	if d.isSteady() {
		noise = level
	}
	return Segment{
		From: time.Duration(from) * tick, To: time.Duration(to) * tick, Level: level, Noise: noise,
		Sparse: d.Weight*5 < (d.End-d.Start)*2, Tone: d.Highest-d.Lowest < pure,
	}
}

// isSteady reports whether the segment so far is noise or a tone, and not speech. Before the side's first words,
// bursts that a modulation or a short length keeps from being steady are a ringing tone, too: their peaks hardly vary.
// Later a voice would often pass for one, as a limiter leaves it.
func (d *Detector) isSteady() bool {
	length := d.End - d.Start
	rings := !d.Known && length >= ringMin && length <= ringMax && d.Highest-d.Lowest < pure
	return rings || !d.Varied && d.Even >= steady
}

// levels returns the level of the segment so far, and of what lies behind it now.
func (d *Detector) levels() (level, noise int32) {
	return int32(d.Sum / max(d.Weight, 1)), min((max(d.Floor, 0)+d.Swing)>>toLevel, LevelMax)
}

// learn updates the speaker's usual level with a segment: at once if the segment is louder, slowly if not.
func (d *Detector) learn(level, ticks int64) {
	over := level - int64(d.Usual)
	ticks = min(ticks, 1<<13)
	if over < 0 {
		ticks /= 8
	}
	d.Usual += int32(over * ticks >> 13)
	d.Known = true
}

// hear judges a block of n ticks. It shifts instead of dividing, because a program in the kernel has no signed
// division.
func (d *Detector) hear(at, n, level int64) {
	if d.Floor < 0 {
		d.Floor = int32(min(level, least) * fine)
	}
	floor, swing, speaker := int64(d.Floor), int64(d.Swing), int64(d.Usual)>>toLevel
	raise := spread * swing >> (3 + toLevel)
	on, off := floor>>toLevel+onset+raise, floor>>toLevel+offset+raise
	far := speaker
	if d.Talking {
		far = int64(d.Now) >> toLevel
	}
	far = min((floor>>toLevel+far)>>1-depth, far-deep)
	if far > off {
		if level >= on && level < far { // it may be another, quieter speaker
			d.Usual -= int32(n / 32)
		}
		off = far
	}
	on, off = max(on, off, least), max(off, floorMin)

	// The floor falls fast, a quarter of the difference in 20 ms. It rises by 2 dB a second, and by 1 dB a second during
	// speech.
	rise := 108 * n / blockLen
	if d.Talking || d.Running {
		rise = 50 * n / blockLen
	}
	if above := level*fine - floor; above < 0 {
		floor += above * n * 13 >> 13
	} else {
		floor += min(rise, above)
	}
	d.Floor = int32(floor)
	if !d.Talking && level < on { // within about a second
		d.Swing = int32(max(0, swing+(level*fine-floor-swing)*n*51>>19)) // falling noise has no negative swing
	}
	switch {
	case level >= off:
		d.speak(at, n, level, on, max(on, speaker-reach))
	case d.Running:
		if d.Even < steady {
			d.steady(n, level)
		}
		d.Low = min(d.Low, int32(level)) // a tone that ends stays one; more that is louder makes it a voice
		d.interrupt(true, true)
	}
}

// speak processes a block that may be speech. A block is clear if its level is at least on, and can start a segment if
// its level is at least first.
func (d *Detector) speak(at, n, level, on, first int64) {
	if !d.Running {
		d.Running, d.Run, d.Loud, d.Clear = true, at, 0, 0
		if !d.Talking {
			d.Sum, d.Weight, d.Even, d.Varied, d.Now, d.Top = 0, 0, 0, false, d.Usual, 0
		}
	}
	d.RunEnd = at + n
	d.steady(n, level)
	d.Top = int16(max(level, int64(d.Top)-n>>fall))
	if d.Talking {
		d.Highest, d.Lowest = max(d.Highest, d.Top), min(d.Lowest, d.Top)
	} else {
		d.Highest, d.Lowest = d.Top, d.Top
	}
	d.interrupt(level < on, level < first)
	if level >= on {
		d.Clear += int32(n)
	}
	if level >= first {
		d.Loud += int32(n)
		d.Sum, d.Weight = d.Sum+level*n, d.Weight+n
		d.Now += int32((level*fine - int64(d.Now)) * n >> 13)
	}
	switch {
	case d.Talking && d.Clear >= restart:
		d.End = d.RunEnd
	case !d.Talking && d.Loud >= begin:
		d.Talking, d.Start, d.End = true, d.Run, d.RunEnd
	}
}

// interrupt has clicks, which are short, not add up to speech: a block that is not clear, or not loud, ends a stretch
// that was too short for it.
func (d *Detector) interrupt(clear, loud bool) {
	if clear && d.Clear < restart {
		d.Clear = 0
	}
	if loud && d.Loud < begin {
		d.Loud = 0
	}
}

// steady detects noise that has started, such as a tone: its level hardly varies. That level then becomes the floor.
func (d *Detector) steady(n, level int64) {
	if d.Even == 0 {
		d.High, d.Low = int32(level), int32(level)
	}
	d.High, d.Low = max(d.High, int32(level)), min(d.Low, int32(level))
	d.Even += int32(n)
	switch {
	case d.High-d.Low >= unsteady:
		d.Varied, d.Even = true, 0
	case d.Even >= steady, !d.Known && !d.Varied && d.Even >= steadyFirst:
		d.Floor, d.Even = d.Low*fine, steady
	}
}

// View describes what is known about a side beyond its finished segments.
type View struct {
	// The times are by the clock of Packet.Arrival.
	Settled   time.Duration // no segment will start before this time
	Until     time.Duration // all speech before it is known, unless missing packets are only late
	Speaking  bool          // a segment is in progress
	Since, To time.Duration // start and current end of that segment
	Level     int32         // with Noise, as in the Segment if it ended now
	Noise     int32
	Reason    Reason
}

// absent is the time without packets after which a side counts as silent, in ticks.
const absent = 500 * millisecond

// foreignMax is how many packets of another codec mean that the codec has changed: one second at 20 ms each.
const foreignMax = 50

// View returns the state of the side at the time now, by the clock of Packet.Arrival. Its statements about speech in
// progress, or about a side that sends no packets, may turn out to be wrong: a segment in progress may be noise.
// Settled stays true.
func (d *Detector) View(now time.Duration) View {
	at := int64(now / tick)
	until := d.Next
	if d.Running && (!d.Talking || d.RunEnd > d.End) {
		until = d.Run // the run may become a segment
	}
	settled := until
	if d.Talking {
		settled = min(settled, d.Start)
	}
	settled += d.Base - jump // the path may become faster again, by jump at most
	until += d.Base
	if !d.Started || at-d.Heard > absent {
		until = max(until, at-absent)
	}
	v := View{Settled: time.Duration(settled) * tick, Until: time.Duration(until) * tick, Reason: d.reason()}
	v.Speaking = d.Talking && !d.isSteady()
	if v.Speaking {
		since := max(d.Start+d.Base, d.Said)
		v.Since, v.To = time.Duration(since)*tick, time.Duration(max(since, d.End+d.Base))*tick
		v.Level, v.Noise = d.levels()
	}
	return v
}

func (d *Detector) reason() Reason {
	few := uint16(1)
	if d.Judged > 0 {
		few = foreignMax
	}
	switch {
	case d.Foreign >= few:
		return OtherCodec
	case d.Long >= few:
		return OtherLength
	case d.Judged == 0:
		return NoAudio
	}
	return Measured
}

// Shift converts all times to the clock of another process, which is ahead by the given duration.
func (d *Detector) Shift(by time.Duration) {
	if d.Started {
		ticks := int64(by / tick)
		d.Base, d.Heard, d.Said, d.Window = d.Base+ticks, d.Heard+ticks, d.Said+ticks, d.Window+ticks
	}
}
