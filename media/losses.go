package media

// losses tells what is lost from what is late and from what came twice. It
// remembers of the last 128 sequence numbers which came; a number that leaves
// this window is lost for good, if it did not come, and belongs to a burst: a
// run of numbers none of which came.
type losses struct {
	recent uint64 // bit i: the i-th number below the highest one came
	older  uint64 // bit i: the number i+64 below it

	run     uint64 // of the lost numbers that left the window last
	runs    uint64 // that began outside the window
	longest uint64 // of them
}

// begin starts a window whose highest number is still to come. What is below a
// first number is nobody's.
func (l *losses) begin() {
	l.recent, l.older, l.run = ^uint64(1), ^uint64(0), 0
}

// finish has what is missing now be lost.
func (l *losses) finish() {
	l.settle(l.older, 64)
	l.settle(l.recent, 64)
}

// advance makes the highest number one that is n higher, and still to come.
func (l *losses) advance(n uint64) {
	for n > 0 {
		step := min(n, 64)
		l.settle(l.older, step)
		l.older = l.older<<step | l.recent>>(64-step)
		l.recent <<= step
		n -= step
	}
}

// settle decides on the n highest bits of a word, 1 to 64, the highest first.
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

// mark says that the number that is behind below the highest one came, behind
// being at most 127, and whether it is the first time.
func (l *losses) mark(behind uint64) (first bool) {
	word, bit := &l.recent, uint64(1)<<(behind%64)
	if behind >= 64 {
		word = &l.older
	}
	first = *word&bit == 0
	*word |= bit
	return first
}

// bursts is how many runs of lost numbers there are and how long the longest
// is, if what is missing now stays so.
func (l losses) bursts() (runs, longest uint64) {
	l.finish()
	return l.runs, l.longest
}
