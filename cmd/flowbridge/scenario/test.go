package scenario

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/config"
	"flowbridge/media/audio"
	"flowbridge/sim"
)

// first is a file to begin with, for WHOM.
//
//go:embed first.yaml
var first string

// First writes a first file, for a target or a SIP URI.
func First(w io.Writer, target string) error {
	whom := fmt.Sprintf("target: %q", target)
	if strings.HasPrefix(target, "sip:") {
		whom = fmt.Sprintf("to: %q", target)
	}
	_, err := io.WriteString(w, strings.Replace(first, "WHOM", whom, 1))
	return err
}

// words returns what the caller says in a step. They begin and end with an audible sample, so that the time at which
// they end is known.
func words(t *config.Conversation, i int) (pcm []int16) {
	name := t.Steps[i].Say + t.Steps[i].Interrupt
	if sound := t.Sounds[name]; sound != nil {
		codes := sound.In(audio.ULaw)
		pcm = make([]int16, len(codes))
		audio.ULaw.Decode(pcm, codes)
	} else if d, err := time.ParseDuration(name); err == nil {
		pcm = sim.SpeechLike(uint64(i), d)
	}
	peak := 0
	for _, v := range pcm {
		peak = max(peak, int(v), -int(v))
	}
	loud := func(v int16) bool { return max(int(v), -int(v)) > peak/32 } // 30 dB below the peak
	for len(pcm) > 0 && !loud(pcm[0]) {
		pcm = pcm[1:]
	}
	for len(pcm) > 0 && !loud(pcm[len(pcm)-1]) {
		pcm = pcm[:len(pcm)-1]
	}
	return pcm
}

// length returns how long samples last.
func length(pcm []int16) time.Duration { return time.Duration(len(pcm)) * time.Second / audio.Rate }

// bound is an expectation.
type bound struct {
	name, figure string
	step         int     // only the figures of this step count; 0: all
	share        float64 // the share of the figures that keep the limit: 0.5 for p50, 1 for each
	limit        float64 // in milliseconds, percent or MOS
	least        bool    // figures are at least limit
	text         string  // the figure is this text; empty: it is a number
}

// boundsOf returns all that is expected.
func boundsOf(t *config.Conversation) (all []bound) {
	x := &t.Expect
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	number := func(text string) float64 {
		v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
		if err != nil {
			return 0 // it is not there
		}
		return max(v, 1e-9) // 0%: none at all
	}
	all = []bound{
		{figure: answeredWithin, limit: ms(x.AnsweredWithin)},
		{figure: firstAudio, limit: ms(x.FirstAudio)},
		{figure: answer, name: " p50", share: 0.5, limit: ms(x.Answer.P50)},
		{figure: answer, name: " p95", share: 0.95, limit: ms(x.Answer.P95)},
		{figure: answer, name: " each", limit: ms(x.Answer.Each)},
		{figure: stopsWithin, limit: ms(x.StopsWithin)},
		{figure: deadAir, limit: ms(x.DeadAir)},
		{figure: talkOver, limit: number(x.TalkOver)},
		{figure: loss, limit: number(x.Loss)},
		{figure: mos, limit: number(x.MOS), least: true},
		{figure: duration, name: " min", limit: ms(x.Duration.Min), least: true},
		{figure: duration, name: " max", limit: ms(x.Duration.Max)},
		{figure: hangUpBy, text: x.HangUpBy},
		{figure: transferTo, text: x.TransferTo},
	}
	for i, s := range t.Steps {
		name := fmt.Sprintf(" of step %d", i+1)
		all = append(all, bound{figure: answer, name: name, step: i + 1, limit: ms(s.Answer)},
			bound{figure: stopsWithin, name: name, step: i + 1, limit: ms(s.StopsWithin)})
	}
	for _, h := range x.Received {
		name, value, _ := strings.Cut(h, ": ")
		all = append(all, bound{figure: received + " " + strings.ToLower(name), text: value})
	}
	all = slices.DeleteFunc(all, func(b bound) bool { return b.limit == 0 && b.text == "" })
	for i := range all {
		all[i].name, all[i].share = all[i].figure+all[i].name, cmp.Or(all[i].share, 1)
	}
	return all
}
