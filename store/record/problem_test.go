package record

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestProblems(t *testing.T) {
	ended := TimeOf(time.Unix(1_000_000_100, 0))
	for want, r := range map[string]Record{
		"":                 {AnsweredAt: ended, EndedAt: ended, Media: Media{A: MediaSide{Rx: 98, Lost: 2}}, Talk: &Talk{Confidence: TalkGood, LongestDeadAirMS: new(int64(3000))}},
		"one-way":          {AnsweredAt: ended, Media: Media{OneWay: "b"}},
		"loss":             {AnsweredAt: ended, Media: Media{B: MediaSide{Rx: 979, Lost: 21}}},
		"loss ":            {AnsweredAt: ended, Media: Media{B: MediaSide{Rx: 990, Lost: 10, Late: 11}}},
		"loss  ":           {AnsweredAt: ended, Media: Media{B: MediaSide{Rx: 990, Lost: 10, DroppedBy: DroppedBy{Overtaken: 6, Ahead: 5}}}},
		"dead-air":         {AnsweredAt: ended, Talk: &Talk{Confidence: TalkGood, LongestDeadAirMS: new(int64(3001))}},
		"silent":           {AnsweredAt: ended, Media: Media{Silences: []Silence{{Side: "b", FromMS: 8000}}}},
		"dead-air ":        {AnsweredAt: ended, Media: Media{NoRTPMS: 3001}, Talk: &Talk{Confidence: "not_measured"}},
		"silent dead-air":  {AnsweredAt: ended, Media: Media{Silences: []Silence{{Side: "b"}}}, Talk: &Talk{Confidence: "noisy", LongestDeadAirMS: new(int64(23600))}},
		"echo":             {AnsweredAt: ended, Talk: &Talk{Confidence: "noisy", EchoMS: 300}},
		"no-answer":        {EndedAt: ended},
		"rescue":           {AnsweredAt: ended, Attempts: []Attempt{{}, {Reason: ReasonRescue}}},
		"not-told":         {AnsweredAt: ended, Told: &Told{Packets: 80}},
		"  ":               {AnsweredAt: ended, Told: &Told{Packets: 160, Whole: true}},
		"not-told ":        {AnsweredAt: ended, Told: &Told{Packets: 160, Whole: true, Key: "2", Accepted: new(false)}},
		"   ":              {AnsweredAt: ended, Told: &Told{Packets: 160, Whole: true, Key: "1", Accepted: new(true)}},
		"no-answer ":       {EndedAt: ended, Told: &Told{}},
		"one-way loss":     {AnsweredAt: ended, Media: Media{OneWay: "a", B: MediaSide{Rx: 1, Lost: 1}}},
		" ":                {Talk: &Talk{Confidence: "noisy", LongestDeadAirMS: new(int64(9000))}}, // live, and the figures may be wrong
		"no-answer rescue": {EndedAt: ended, Attempts: []Attempt{{Reason: ReasonRescue}}},
	} {
		if got := strings.Join(ProblemsOf(&r), " "); got != strings.TrimSpace(want) {
			t.Errorf("got %q; want %q", got, want)
		}
	}
}

// many lists n calls, a third of which have a problem.
type many int

func (n many) List(_ context.Context, f Filter) (all []Record, next string, err error) {
	from := 0
	if f.Cursor != "" {
		_, id, _ := parseCursor(f.Cursor)
		from, _ = strconv.Atoi(id)
	}
	for i := from + 1; i <= int(n) && len(all) < f.PageSize(); i++ {
		r := Record{ID: strconv.Itoa(i), StartedAt: TimeOf(time.Unix(1_000_000_000, 0))}
		if i%3 == 0 {
			r.Problems = []string{"rescue"}
		}
		all, from = append(all, r), i
	}
	if from < int(n) {
		next = CursorOf(all[len(all)-1])
	}
	return all, next, nil
}

// The calls with a problem are listed page by page, each once. The last page is marked as the last.
func TestListOfAProblem(t *testing.T) {
	for _, limit := range []int{1, 7, 100, 1000} {
		var ids []string
		f := Filter{Problem: "rescue", Limit: limit}
		for pages := 0; ; pages++ {
			all, next, err := List(t.Context(), many(1000), f)
			if err != nil || len(all) > limit || pages > 1000 {
				t.Fatalf("limit %d: %d records, %v", limit, len(all), err)
			}
			for _, r := range all {
				ids = append(ids, r.ID)
			}
			if f.Cursor = next; next == "" {
				break
			}
		}
		if slices.Sort(ids); len(ids) != 333 || len(slices.Compact(ids)) != 333 {
			t.Errorf("limit %d: %d calls", limit, len(ids))
		}
	}
	all, next, err := List(t.Context(), many(3*searched), Filter{Problem: "loss"})
	if err != nil || len(all) > 0 || next == "" {
		t.Errorf("without any: %d, %q, %v", len(all), next, err)
	}
	n := 0
	err = Each(t.Context(), many(3000), Filter{Problem: "rescue"}, func(Record) error { n++; return nil })
	if err != nil || n != 1000 {
		t.Errorf("each: %d, %v", n, err)
	}
}
