package gateway

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// maxLines bounds the lines of one socket in a call's ladder, so that a bot with many messages leaves room for SIP.
const maxLines = 200

// runTime is how long marks wait for further ones that share their line.
const runTime = 2 * time.Second

// The directions of messages.
const (
	toBot = iota
	fromBot
)

// transcript tells the ladder of a call what is said on a bot's socket: each side's events in order, audio and marks
// as counts, and no values of the caller or of the account.
type transcript struct {
	tell  func(text string) // nil: lines are dropped
	runs  [2]run            // by direction
	lines int
	more  int // lines that are left out
}

// run is audio and marks of one direction that have no line yet.
type run struct {
	media, bytes, marks int
	mark                string    // the last one
	since               time.Time // when the first mark came
}

// audio counts a message with audio.
func (t *transcript) audio(direction, size int, now time.Time) {
	t.runs[direction].media++
	t.runs[direction].bytes += size
	t.settle(now)
}

// marked counts a mark. Some bots mark each tenth of a second.
func (t *transcript) marked(direction int, name string, now time.Time) {
	r := &t.runs[direction]
	if r.marks == 0 {
		r.since = now
	}
	r.marks++
	r.mark = name
	t.settle(now)
}

// settle adds lines about runs whose marks have waited for long enough.
func (t *transcript) settle(now time.Time) {
	for d := range t.runs {
		if r := &t.runs[d]; r.marks > 0 && now.Sub(r.since) >= runTime {
			t.flush(d)
		}
	}
}

// event adds a line about another message, after what came before it.
func (t *transcript) event(direction int, format string, args ...any) {
	t.flush(fromBot)
	t.flush(toBot)
	t.line(direction, fmt.Sprintf(format, args...))
}

// end adds the last lines of a socket.
func (t *transcript) end(why string) {
	if t.tell == nil {
		return
	}
	t.flush(fromBot)
	t.flush(toBot)
	if t.more > 0 {
		why += fmt.Sprintf("; %d lines are left out", t.more)
	}
	t.tell("the bot's WebSocket is closed: " + why)
	t.tell = nil
}

// flush adds a line about a run.
func (t *transcript) flush(direction int) {
	r := t.runs[direction]
	t.runs[direction] = run{}
	var parts []string
	if r.media > 0 {
		long := time.Duration(r.bytes) * time.Second / perSecond
		parts = append(parts, fmt.Sprintf("%d media, %v of audio", r.media, long.Round(10*time.Millisecond)))
	}
	switch {
	case r.marks == 1:
		parts = append(parts, fmt.Sprintf("mark %q", r.mark))
	case r.marks > 1:
		parts = append(parts, fmt.Sprintf("%d marks up to %q", r.marks, r.mark))
	}
	if len(parts) > 0 {
		t.line(direction, strings.Join(parts, ", "))
	}
}

func (t *transcript) line(direction int, what string) {
	switch {
	case t.tell == nil:
		return
	case t.lines >= maxLines:
		t.more++
		return
	}
	t.lines++
	t.tell([...]string{toBot: "to the bot: ", fromBot: "from the bot: "}[direction] + what)
}

// namesOf returns the names of parameters, a JSON object of strings. Their values may be secrets.
func namesOf(parameters []byte) string {
	var all map[string]string
	if json.Unmarshal(parameters, &all) != nil || len(all) == 0 { // an error can't happen
		return ""
	}
	return ", with the parameters " + strings.Join(slices.Sorted(maps.Keys(all)), ", ")
}
