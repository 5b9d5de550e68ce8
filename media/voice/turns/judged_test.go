//go:build talk

package turns_test

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"flowbridge/media/voice"
	"flowbridge/media/voice/turns"
	"flowbridge/sim/conversation"
)

// tally counts the calls of a family.
type tally struct {
	calls, good             int
	off, counts             int // good calls with a duration of the record that is wrong by over 150 ms; with a number that is wrong
	moments                 int // good calls with a turn or barge-in that is missing, invented, or wrong by over 150 ms
	noisy, right, perfect   int // right: noisy calls whose durations are right; perfect: and whose moments are
	reasons                 map[turns.Reason]int
	turns, missed, invented int
	waits                   []float64 // error of each turn, in ms
	barges, bargesMissed    int
}

func (c *tally) add(o *tally) {
	c.calls, c.good, c.off, c.counts = c.calls+o.calls, c.good+o.good, c.off+o.off, c.counts+o.counts
	c.noisy, c.right, c.moments = c.noisy+o.noisy, c.right+o.right, c.moments+o.moments
	c.perfect += o.perfect
	for r, n := range o.reasons {
		c.reasons[r] += n
	}
	c.turns, c.missed, c.invented, c.waits = c.turns+o.turns, c.missed+o.missed, c.invented+o.invented, append(c.waits, o.waits...)
	c.barges, c.bargesMissed = c.barges+o.barges, c.bargesMissed+o.bargesMissed
}

func percent(n, of int) int { return (100*n + of/2) / max(of, 1) }

func (c *tally) String() string {
	reasons := ""
	for _, r := range slices.Sorted(maps.Keys(c.reasons)) {
		reasons += fmt.Sprintf(" %s %d", r, c.reasons[r])
	}
	return fmt.Sprintf("good %3d, off %3d (%2d %%), a moment off %3d (%2d %%), a count %3d | noisy %3d, right %3d (%2d %%), wholly %3d (%2d %%) | wait p50 %.0f p95 %.0f ms, "+
		"%d of %d missed, %d invented | barge-ins missed %d of %d |%s", c.good, c.off, percent(c.off, c.good),
		c.moments, percent(c.moments, c.good), c.counts, c.noisy, c.right, percent(c.right, c.noisy), c.perfect, percent(c.perfect, c.noisy),
		conversation.Quantile(c.waits, 0.5), conversation.Quantile(c.waits, 0.95), c.missed, c.turns, c.invented,
		c.bargesMissed, c.barges, reasons)
}

// spoken returns the talk as it was spoken.
func spoken(c *conversation.Conversation, decibels int) (*turns.Talk, []turns.Moment) {
	t := turns.New(0)
	var moments []turns.Moment
	t.Each = func(m turns.Moment) { moments = append(moments, m) }
	type part struct {
		p turns.Party
		conversation.Span
	}
	var all []part
	for p := range turns.Party(2) {
		for _, s := range c.Truth(int(p), decibels) {
			all = append(all, part{p, s})
		}
		t.Look(p, voice.View{Until: 0})
	}
	slices.SortStableFunc(all, func(a, b part) int { return cmp.Compare(a.To, b.To) })
	for _, s := range all {
		t.Hear(s.p, voice.Segment{From: s.From, To: s.To, Level: 1000, Noise: 100})
	}
	for p := range turns.Party(2) {
		t.Look(p, voice.View{Until: c.End()})
	}
	t.Finish(c.End())
	return t, moments
}

// durations returns all durations that a record has, and its numbers.
func durations(f turns.Figures) (all map[string]time.Duration, numbers [5]int) {
	all = map[string]time.Duration{"agent dead air": f.Waited[turns.Agent]}
	if f.FirstAgent != nil {
		all["first agent"] = *f.FirstAgent
	}
	for name, s := range map[string]turns.Spread{"turns": f.Latency, "barge-ins": f.Reaction} {
		if s.N > 0 {
			all[name+" p50"], all[name+" p95"], all[name+" max"] = s.P50, s.P95, s.Max
		}
	}
	return all, [5]int{f.Latency.N, f.BargeIns, f.Ignored, f.CutOffs, f.Backchannels}
}

// wrongMoment returns a turn, barge-in or cut-off that is missing, invented, or wrong by over 150 ms. One that only one of
// both truths has may be there or not.
func wrongMoment(is, one, other []turns.Moment) string {
	find := func(all []turns.Moment, m turns.Moment) (turns.Moment, bool) {
		i := slices.IndexFunc(all, func(o turns.Moment) bool { return o.Kind == m.Kind && (o.At-m.At).Abs() < 500*time.Millisecond })
		if i < 0 {
			return turns.Moment{}, false
		}
		return all[i], true
	}
	counts := func(m turns.Moment) bool { return m.Kind != turns.Backchannel && m.Kind != turns.DeadAir }
	for _, m := range is {
		a, inA := find(one, m)
		b, inB := find(other, m)
		if !inA {
			a = b
		}
		if !inB {
			b = a
		}
		switch {
		case !counts(m):
		case !inA && !inB:
			return fmt.Sprintf("%v is invented", m)
		case m.Took < min(a.Took, b.Took)-150*time.Millisecond, m.Took > max(a.Took, b.Took)+150*time.Millisecond:
			return fmt.Sprintf("%v, is %v to %v", m, a, b)
		}
	}
	for _, m := range one {
		_, ok := find(is, m)
		if _, both := find(other, m); counts(m) && both && !ok {
			return fmt.Sprintf("%v is missing", m)
		}
	}
	return ""
}

// judge compares a call with the truth. A word ends somewhere between 20 and 30 dB below its level.
func (c *tally) judge(conv *conversation.Conversation, talk *turns.Talk, moments []turns.Moment) (off []string) {
	f := talk.Figures()
	is, numbers := durations(f)
	at20, said := spoken(conv, 20)
	at30, heard := spoken(conv, 30)
	a, first := durations(at20.Figures())
	b, second := durations(at30.Figures())
	names := map[string]bool{}
	for _, m := range []map[string]time.Duration{is, a, b} {
		for name := range m {
			names[name] = true
		}
	}
	for name := range names {
		got, ok := is[name]
		x, inA := a[name]
		y, inB := b[name]
		switch {
		case name == "agent dead air" && ((got-x).Abs()-3*time.Second).Abs() < 150*time.Millisecond: // a silence near its limit of 3 s
		case !ok && inA && inB, ok && !inA && !inB:
			off = append(off, name+" missing or invented")
		case ok && got < min(x, y)-150*time.Millisecond, ok && got > max(x, y)+150*time.Millisecond:
			off = append(off, fmt.Sprintf("%s %v, is %v to %v", name, got, min(x, y), max(x, y)))
		}
	}
	one := wrongMoment(moments, said, heard)
	c.calls++
	if f.Confidence != turns.Good {
		c.noisy++
		c.reasons[f.Reason]++
		if len(off) == 0 {
			c.right++
			if one == "" {
				c.perfect++
			}
		}
		return nil
	}
	c.good++
	if len(off) > 0 {
		c.off++
	}
	if one != "" {
		c.moments++
		off = append(off, one)
	}
	for i := range numbers {
		if numbers[i] != first[i] && numbers[i] != second[i] {
			c.counts++
			break
		}
	}
	var score conversation.Score
	score.Compare(said, moments)
	c.turns, c.missed, c.invented = c.turns+score.Turns, c.missed+score.Turns-len(score.Turn), c.invented+score.ExtraTurns
	c.waits = append(c.waits, score.Turn...)
	c.barges, c.bargesMissed = c.barges+score.Barges, c.bargesMissed+score.Barges-len(score.Barge)
	return off
}

// recorded returns the voices of a directory that scripts/talk-voices wrote.
func recorded(t *testing.T, directory string) (all map[string][2][][]float64) {
	t.Helper()
	all = map[string][2][][]float64{}
	files, err := filepath.Glob(filepath.Join(directory, "*", "*.wav"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no voices in %s: %v", directory, err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at := strings.Index(string(b), "data") + 8
		var samples []float64
		for ; at+2 <= len(b); at += 2 {
			samples = append(samples, float64(int16(binary.LittleEndian.Uint16(b[at:])))/32768)
		}
		v, side := all[filepath.Base(filepath.Dir(file))], conversation.Caller
		if filepath.Base(file)[0] == 'a' {
			side = conversation.Agent
		}
		v[side] = append(v[side], samples)
		all[filepath.Base(filepath.Dir(file))] = v
	}
	return all
}

// coding returns the kind of a voice of scripts/talk-voices.
func coding(voice string) string {
	switch {
	case strings.HasSuffix(voice, "-gsm"):
		return "voices GSM"
	case strings.HasSuffix(voice, "-opus"):
		return "voices Opus"
	}
	return "voices"
}

// TestJudged prints how far figures may be believed, for each family of calls: synthetic voices, and those of
// TALK_VOICES with and without a codec (scripts/talk-voices). TALK_CALLS is the number of calls for each condition
// and kind of voice. Nothing may be tuned on what it judges: the seeds from heldSeed on and the families of held are for
// that, DIR/held of scripts/talk-voices has the voices. TALK_TUNE=1 has other ones, for DIR/tune.
func TestJudged(t *testing.T) {
	calls, err := strconv.Atoi(os.Getenv("TALK_CALLS"))
	if err != nil {
		calls = 8
	}
	seed, families := uint64(heldSeed), held()
	if os.Getenv("TALK_TUNE") != "" {
		seed, families = tuneSeed, slices.Concat(conversation.Families(), tuned())
	}
	kinds := map[string][]conversation.Sounds{}
	for i := range uint64(4) {
		kinds["synthetic"] = append(kinds["synthetic"], conversation.Synthetic(seed+i))
	}
	if dir := os.Getenv("TALK_VOICES"); dir != "" {
		voices := recorded(t, dir)
		for i := range kinds["synthetic"] {
			if music := voices["music"][conversation.Caller]; len(music) > 0 {
				kinds["synthetic"][i].Noise["music"] = append(kinds["synthetic"][i].Noise["music"], music...)
			}
		}
		delete(voices, "music")
		for i, caller := range slices.Sorted(maps.Keys(voices)) {
			kind := coding(caller)
			same := slices.DeleteFunc(slices.Sorted(maps.Keys(voices)), func(v string) bool { return coding(v) != kind || v == caller })
			s := conversation.Sounds{Caller: voices[caller][0], Agent: voices[same[i*5%len(same)]][1], Noise: kinds["synthetic"][i%4].Noise}
			kinds[kind] = append(kinds[kind], s)
		}
	}
	others := []string{"echo", "keyboard", "caller -40", "line ", "babble", "street", "music", "types"}
	totals := map[string]*tally{}
	var together sync.Mutex
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		for i, k := range slices.Concat(conversation.Conditions(), families) {
			group.Go(func() error {
				c := &tally{reasons: map[turns.Reason]int{}}
				for n := range calls {
					s := kinds[kind][(i*calls+n)%len(kinds[kind])]
					at := seed + uint64(1000*i+n) // no two conditions have the same conversations
					conv := k.Conversation(at, s, 8)
					talk, moments := follow(conv, k, s, at, func() time.Duration { return time.Second })
					if off := c.judge(conv, talk, moments); len(off) > 0 && os.Getenv("TALK_WHY") != "" {
						t.Logf("%s, %s, call %d: %s", kind, k.Name, n, strings.Join(off, "; "))
					}
				}
				t.Logf("%-10s %-19s %v", kind, k.Name, c)
				g := "fair"
				if slices.ContainsFunc(others, func(o string) bool { return strings.Contains(k.Name, o) }) {
					g = "others"
				}
				together.Lock()
				defer together.Unlock()
				for _, name := range []string{g, g + ", " + kind, k.Name} {
					if totals[name] == nil {
						totals[name] = &tally{reasons: map[turns.Reason]int{}}
					}
					totals[name].add(c)
				}
				return nil
			})
		}
	}
	_ = group.Wait()
	for _, g := range slices.Sorted(maps.Keys(totals)) {
		t.Logf("%-22s %d calls: %v", g, totals[g].calls, totals[g])
	}
}
