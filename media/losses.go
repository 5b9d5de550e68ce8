package media

// losses distinguishes lost from late and duplicate packets. It remembers which of the last 128 sequence numbers
// came. A number that leaves this window without having come is lost for good, and belongs to a burst: a run of lost
// numbers.
type losses struct {
	recent uint64 // bit i: the i-th number below the highest one came
	older  uint64 // bit i: the number i+64 below it

	run     uint64 // of the lost numbers that left the window last
	runs    uint64 // that began outside the window
	longest uint64 // of them
}

// begin starts a window whose highest number is still to come. Numbers below the first one do not count.
func (l *losses) begin() {
	l.recent, l.older, l.run = ^uint64(1), ^uint64(0), 0
}

// finish counts what is missing now as lost.
func (l *losses) finish() {
	l.settle(l.older, 64)
	l.settle(l.recent, 64)
}

// advance raises the highest number by n. That number is still to come.
func (l *losses) advance(n uint64) {
	for n > 0 {
		step := min(n, 64)
		l.settle(l.older, step)
		l.older = l.older<<step | l.recent>>(64-step)
		l.recent <<= step
		n -= step
	}
}

// settle counts the n highest bits of a word, 1 to 64, the highest first.
func (l *losses) settle(word, n uint64) {
	missing := ^word >> (64 - n)
	switch missing {
	case 0:
		l.run = 0
		return
	case ^uint64(0): // far ahead of what came: no need to look at each
		l.lose(n)
		return
	}
	for ; n > 0; n-- {
		if missing>>(n-1)&1 == 0 {
			l.run = 0
		} else {
			l.lose(1)
		}
	}
}

func (l *losses) lose(n uint64) {
	if l.run == 0 {
		l.runs++
	}
	l.run += n
	l.longest = max(l.longest, l.run)
}

// mark notes the number that is behind below the highest one, at most 127, and reports whether it came for the first
// time.
func (l *losses) mark(behind uint64) (first bool) {
	word, bit := &l.recent, uint64(1)<<(behind%64)
	if behind >= 64 {
		word = &l.older
	}
	first = *word&bit == 0
	*word |= bit
	return first
}

// bursts returns the number of runs of lost packets and the length of the longest, as if what is missing now were
// lost.
func (l losses) bursts() (runs, longest uint64) {
	l.finish()
	return l.runs, l.longest
}
