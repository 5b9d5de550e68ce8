package gateway

// The audio of both directions: µ-law with 8000 samples a second, a byte a sample.
const (
	frameSize  = 160                    // bytes of a frame of 20 ms
	perSecond  = 8000                   // bytes of a second
	maxQueued  = 30 * perSecond         // audio of a bot that was not played yet
	maxMarks   = 1500                   // within maxQueued, one for each frame of 20 ms
	silentByte = 0xff                   // zero in µ-law
	shortPause = perSecond / 5          // an underrun shorter than this is a stall, not a pause
	idleAfter  = shortPause / frameSize // frames of silence after which a bot counts as idle
)

// playout holds what a bot has sent and the caller has not heard yet. The caller's line has a clock, and a bot that
// sends in real time has another: without care, each stall of either would leave its length as delay for good.
type playout struct {
	audio  []byte // queued; audio[:head] has been played
	head   int
	played uint64 // bytes played so far, which counts positions
	marks  []pendingMark

	starved int // frames of silence sent since the queue became empty
	debt    int // frames of silence to leave out, because the queue was empty for as long in the middle of speech
}

// pendingMark is a mark that waits until the audio before it has been played.
type pendingMark struct {
	at   uint64
	name string
}

// queued returns the number of bytes not played yet.
func (p *playout) queued() int { return len(p.audio) - p.head }

// idle reports whether the bot has been silent for long enough that its next words can be sent at once.
func (p *playout) idle() bool { return p.queued() == 0 && p.starved >= idleAfter }

// add queues audio. What exceeds 30 seconds is dropped, and its size in bytes returned.
func (p *playout) add(audio []byte) (dropped int) {
	fits := min(len(audio), maxQueued-p.queued())
	if p.head > 0 && len(p.audio)+fits > cap(p.audio) {
		n := copy(p.audio, p.audio[p.head:])
		p.audio, p.head = p.audio[:n], 0
	}
	p.audio = append(p.audio, audio[:fits]...)
	return len(audio) - fits
}

// mark queues a mark behind the audio so far. It reports false if there are too many.
func (p *playout) mark(name string) bool {
	if len(p.marks) >= maxMarks {
		return false
	}
	p.marks = append(p.marks, pendingMark{p.played + uint64(p.queued()), name})
	return true
}

// clear drops the queue, and returns the marks that waited.
func (p *playout) clear() (marks []string) {
	for _, m := range p.marks {
		marks = append(marks, m.name)
	}
	p.played += uint64(p.queued())
	p.audio, p.head, p.marks, p.debt = p.audio[:0], 0, nil, 0
	return marks
}

// frame fills dst with the next 20 ms, with silence if there is not enough, and returns the marks whose audio has been
// played, which is one frame after it was sent. speaks reports whether there was audio.
func (p *playout) frame(dst *[frameSize]byte) (speaks bool, marks []string) {
	i := 0
	for ; i < len(p.marks) && p.marks[i].at <= p.played; i++ {
		marks = append(marks, p.marks[i].name)
	}
	p.marks = p.marks[i:]
	p.payBack()
	n := copy(dst[:], p.audio[p.head:])
	p.head += n
	p.played += uint64(n)
	for i := n; i < frameSize; i++ {
		dst[i] = silentByte
	}
	if p.queued() == 0 {
		p.audio, p.head = p.audio[:0], 0
	}
	if n == 0 {
		p.starved++
		return false, marks
	}
	if p.starved > 0 && p.starved < idleAfter {
		p.debt = min(p.debt+p.starved, idleAfter)
	} else if p.starved >= idleAfter {
		p.debt = 0
	}
	p.starved = 0
	return true, marks
}

// payBack leaves out frames of silence that an underrun has already made the caller hear. While marks wait, no frame is
// left out, because they tell the bot how much has been heard.
func (p *playout) payBack() {
	for p.debt > 0 && len(p.marks) == 0 && p.queued() >= 2*frameSize && isSilence(p.audio[p.head:p.head+frameSize]) {
		p.head += frameSize
		p.played += frameSize
		p.debt--
	}
}

// isSilence reports whether no sample of µ-law audio exceeds about -48 dBm0.
func isSilence(audio []byte) bool {
	for _, b := range audio {
		if ^b&0x7f > 0x17 {
			return false
		}
	}
	return true
}
