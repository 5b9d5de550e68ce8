package quality

// Losses distinguishes lost from late and duplicate packets. It remembers which of the last 128 sequence numbers came.
// A number that leaves this window without having come is lost, and belongs to a burst: a run of lost numbers. Losses
// is plain data: another process can continue it.
type Losses struct {
	Recent uint64 // bit i: the i-th number below the highest received number has come
	Older  uint64 // bit i: the number 64+i below the highest received number has come

	Run     uint64 // length of the last run of lost numbers that left the window
	Runs    uint64 // runs that began outside the window
	Longest uint64 // length of the longest of these runs
}

// Begin starts a window whose highest number is still to come. Numbers below the first one do not count.
func (l *Losses) Begin() {
	l.Recent, l.Older, l.Run = ^uint64(1), ^uint64(0), 0
}

// Finish counts all missing numbers as lost.
func (l *Losses) Finish() {
	l.settle(l.Older, 64)
	l.settle(l.Recent, 64)
}

// Advance raises the highest number by n. That number is still to come.
func (l *Losses) Advance(n uint64) {
	for n > 0 {
		step := min(n, 64)
		l.settle(l.Older, step)
		l.Older = l.Older<<step | l.Recent>>(64-step)
		l.Recent <<= step
		n -= step
	}
}

// settle moves the n highest bits of a word, 1 to 64, out of the window, highest first, and counts them.
func (l *Losses) settle(word, n uint64) {
	missing := ^word >> (64 - n)
	switch missing {
	case 0:
		l.Run = 0
		return
	case ^uint64(0): // the number is far ahead of the last one: no need to check each bit
		l.lose(n)
		return
	}
	for ; n > 0; n-- {
		if missing>>(n-1)&1 == 0 {
			l.Run = 0
		} else {
			l.lose(1)
		}
	}
}

func (l *Losses) lose(n uint64) {
	if l.Run == 0 {
		l.Runs++
	}
	l.Run += n
	l.Longest = max(l.Longest, l.Run)
}

// Mark records the number that is behind below the highest one, at most 127. It reports whether the number came for the
// first time.
func (l *Losses) Mark(behind uint64) (first bool) {
	word, bit := &l.Recent, uint64(1)<<(behind%64)
	if behind >= 64 {
		word = &l.Older
	}
	first = *word&bit == 0
	*word |= bit
	return first
}

// Bursts returns the number of runs of lost packets and the length of the longest, as if all missing packets were lost.
func (l Losses) Bursts() (runs, longest uint64) {
	l.Finish()
	return l.Runs, l.Longest
}
