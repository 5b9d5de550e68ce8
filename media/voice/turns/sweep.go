package turns

import "time"

// next returns the next event up to the time to, or nil if there is none.
func (t *Talk) next(to time.Duration) (at time.Duration, do func(at time.Duration)) {
	s := &t.s
	at = to
	earlier := func(when time.Duration, f func(time.Duration)) {
		if when < at || when == at && do == nil {
			at, do = when, f
		}
	}
	if len(s.Marks) > 0 {
		earlier(s.Marks[0].At, t.mark)
	}
	for p := range s.Sides {
		side := &s.Sides[p]
		switch {
		case len(side.Ahead) == 0:
		case side.Speaks:
			earlier(side.Ahead[0].To, func(at time.Duration) { t.ends(Party(p), at) })
		default:
			earlier(side.Ahead[0].From, func(at time.Duration) { t.begins(Party(p), at) })
		}
	}
	if s.Cutting {
		earlier(s.CutAt+overlap, t.cutOff)
	}
	if s.Barging {
		earlier(s.BargeAt+patience, t.ignored)
		if s.Over && s.OverAt-s.BargeAt < backchannel {
			earlier(s.OverAt+within, t.noticed)
		}
	}
	return max(at, s.At), do
}

// pass counts the time until at.
func (t *Talk) pass(at time.Duration) {
	s := &t.s
	took := at - s.At
	s.At = at
	if s.Paused&music != 0 {
		s.Music += took
	}
	if s.Paused != 0 {
		return
	}
	s.Measured += took
	for p := range s.Sides {
		if s.Sides[p].Speaks {
			s.Sides[p].Spoke += took
		}
	}
	if s.Sides[Caller].Speaks && s.Sides[Agent].Speaks {
		s.Both += took
	}
}

func (t *Talk) begins(p Party, at time.Duration) {
	s := &t.s
	t.silence(at)
	side, other := &s.Sides[p], &s.Sides[1-p]
	side.Speaks, side.Began = true, at
	if p == Agent && s.Paused&^blindCaller == 0 && s.First == unheard {
		s.First, s.FirstAt = known, at
	}
	if s.Paused != 0 {
		return
	}
	if p == Caller {
		s.Asked = false
		switch {
		case !other.Speaks || at-other.Began < overlap:
		case s.Barging:
			s.Over = false // the caller's word was not a short one
		default:
			s.Barging, s.BargeAt, s.Over = true, at, false
		}
		return
	}
	switch {
	case s.Asked:
		t.answers(at, at-s.AskedAt)
	case other.Speaks && other.Began > side.Ended:
		s.Cutting, s.CutAt = true, at
	}
	s.Asked = false
}

func (t *Talk) ends(p Party, at time.Duration) {
	s := &t.s
	side, other := &s.Sides[p], &s.Sides[1-p]
	side.Spans = side.Spans.add(side.Ended, side.Began, at)
	side.Speaks, side.Ended = false, at
	if s.Paused == 0 {
		side.Gaps = side.Gaps || p == Agent && side.Ahead[0].Sparse
		if at-other.Ended < edge || p == Caller && s.Barging && (at-s.BargeAt-backchannel).Abs() < edge {
			s.Edges++
		}
	}
	side.Ahead = side.Ahead[:copy(side.Ahead, side.Ahead[1:])]
	if !other.Speaks {
		s.Quiet, s.Waiting = at, 1-p
	}
	switch cutting := s.Cutting; {
	case s.Paused != 0:
	case p == Agent:
		s.Cutting = false
		if s.Barging && at-s.BargeAt >= overlap {
			s.Reaction.add(at - s.BargeAt)
			t.tell(Moment{Kind: BargeIn, At: s.BargeAt, Took: at - s.BargeAt})
		}
		s.Barging = false
	case cutting:
		s.Cutting = false
		t.answers(s.CutAt, 0)
	case other.Speaks:
		s.Over, s.OverAt = s.Barging, at
	default:
		s.Asked, s.AskedAt = true, at
	}
}

func (t *Talk) answers(at, took time.Duration) {
	t.s.Latency.add(took)
	t.tell(Moment{Kind: Answer, At: at, Took: took})
}

func (t *Talk) cutOff(time.Duration) {
	t.s.Cutting = false
	t.s.CutOffs++
	t.tell(Moment{Kind: CutOff, At: t.s.CutAt})
}

func (t *Talk) ignored(time.Duration) {
	t.s.Barging = false
	t.s.Ignored++
	t.tell(Moment{Kind: Ignored, At: t.s.BargeAt, Took: patience})
}

func (t *Talk) noticed(time.Duration) {
	t.s.Barging = false
	t.s.Backchannels++
	t.tell(Moment{Kind: Backchannel, At: t.s.BargeAt, Took: t.s.OverAt - t.s.BargeAt})
}

// silence counts a silence of both parties that ends at the given time.
func (t *Talk) silence(at time.Duration) {
	s := &t.s
	took := at - s.Quiet
	if s.Paused != 0 || s.Sides[Caller].Speaks || s.Sides[Agent].Speaks || took < deadAir {
		return
	}
	s.Dead += took
	s.Longest = max(s.Longest, took)
	s.WaitedFor[s.Waiting] += took
	t.tell(Moment{Kind: DeadAir, For: s.Waiting, At: s.Quiet, Took: took})
	s.Quiet = at
}

// mark applies the first mark to the line.
func (t *Talk) mark(at time.Duration) {
	s, m := &t.s, t.s.Marks[0]
	s.Marks = s.Marks[:copy(s.Marks, s.Marks[1:])]
	t.silence(at)
	s.Paused = s.Paused&^m.Clear | m.Set
	if s.Paused&^blindCaller != 0 && s.First == unheard {
		s.First = void
	}
	s.Quiet, s.Waiting = at, Nobody
	s.Asked, s.Cutting, s.Barging = false, false, false
	s.Sides[Agent].Other = max(s.Sides[Agent].Other, at)
}
