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

// The directions of messages.
const (
	toBot = iota
	fromBot
)

// transcript tells the ladder of a call what is said on a bot's socket: the events in their order, audio as a count,
// and no values of the caller or of the account.
type transcript struct {
	tell   func(text string) // nil: nobody
	frames [2]int            // messages with audio since the last line of that direction
	bytes  [2]int            // their audio
	lines  int
	more   int // lines that are left out
}

// audio counts a message with audio.
func (t *transcript) audio(direction, size int) {
	t.frames[direction]++
	t.bytes[direction] += size
}

// event adds a line about a message, after the audio before it.
func (t *transcript) event(direction int, format string, args ...any) {
	if t.tell == nil {
		return
	}
	t.flush(direction)
	t.line(direction, fmt.Sprintf(format, args...))
}

// end adds the last lines of a socket.
func (t *transcript) end(why string) {
	if t.tell == nil {
		return
	}
	t.flush(toBot)
	t.flush(fromBot)
	if t.more > 0 {
		why += fmt.Sprintf("; %d lines are left out", t.more)
	}
	t.tell("the bot's WebSocket is closed: " + why)
	t.tell = nil
}

// flush adds a line about the audio so far.
func (t *transcript) flush(direction int) {
	if n := t.frames[direction]; n > 0 {
		long := time.Duration(t.bytes[direction]) * time.Second / perSecond
		t.line(direction, fmt.Sprintf("%d media, %v of audio", n, long.Round(10*time.Millisecond)))
		t.frames[direction], t.bytes[direction] = 0, 0
	}
}

func (t *transcript) line(direction int, what string) {
	if t.lines >= maxLines {
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
