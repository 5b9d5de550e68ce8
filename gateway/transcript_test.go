package gateway

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestTranscript: the ladder gets the messages of both sides in their order, audio as a count, and no value of a
// parameter or key.
func TestTranscript(t *testing.T) {
	g, ctx := newGateway(t), deadline(t)
	p, b := newPeer(t, g), newTestBot(t, nil)
	var mu sync.Mutex
	var lines []string
	p.tell = func(text string) {
		mu.Lock()
		defer mu.Unlock()
		lines = append(lines, text)
	}
	told := func() []string { mu.Lock(); defer mu.Unlock(); return slices.Clone(lines) }
	d, code := p.call(ctx, b.at())
	if code != 200 {
		t.Fatalf("got %d", code)
	}
	eventually(t, "the bot has start", func() bool { return len(b.events("start")) == 1 })
	word := string(must(json.Marshal(make([]byte, perSecond/2))))
	for range 2 {
		b.say(`{"event":"media","media":{"payload":` + word + `}}`)
	}
	b.say(`{"event":"mark","mark":{"name":"gre\neting"}}`)
	b.say(`{"event":"clear"}`)
	eventually(t, "the mark is answered", func() bool { return len(b.events("mark")) == 1 })
	p.send(d, 101, 1, 0, []byte{5, 0, 0, 160})
	eventually(t, "the bot has the key", func() bool { return len(b.events("dtmf")) == 1 })
	if err := d.Bye(ctx); err != nil {
		t.Error(err)
	}
	eventually(t, "the socket is closed", func() bool {
		return len(told()) > 0 && strings.Contains(told()[len(told())-1], "closed")
	})
	frames := regexp.MustCompile(`^(to the bot: )[0-9]+ media, [0-9.ms]+ of audio(, )?`) // their number depends on time
	var got []string
	for _, l := range told() {
		if l = frames.ReplaceAllString(l, "$1"); l != "to the bot: " {
			got = append(got, l)
		}
	}
	want := []string{
		"to the bot: start of " + b.events("start")[0]["streamSid"].(string) + ", with the parameters a",
		`from the bot: 2 media, 1s of audio, mark "gre\neting"`,
		"from the bot: clear",
		`to the bot: mark "gre\neting"`,
		"to the bot: dtmf",
		"to the bot: stop",
		"the bot's WebSocket is closed: the call has ended",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q; want %q", got, want)
	}
}

// TestTranscriptIsBounded: a bot with many messages does not fill the ladder.
func TestTranscriptIsBounded(t *testing.T) {
	var lines []string
	s := transcript{tell: func(text string) { lines = append(lines, text) }}
	for i := range 10 * maxLines {
		s.audio(fromBot, frameSize, time.Time{})
		s.event(fromBot, "event %d", i)
	}
	s.audio(toBot, frameSize, time.Time{})
	s.end("gone")
	s.event(toBot, "late")
	last := fmt.Sprintf("the bot's WebSocket is closed: gone; %d lines are left out", 19*maxLines+1)
	if len(lines) != maxLines+1 || lines[maxLines] != last {
		t.Errorf("%d lines, the last is %s", len(lines), lines[len(lines)-1])
	}
}

// TestTranscriptOfManyMarks: a bot that marks each tenth of a second has a line for two seconds of them.
func TestTranscriptOfManyMarks(t *testing.T) {
	var lines []string
	s := transcript{tell: func(text string) { lines = append(lines, text) }}
	begin := time.Now()
	for i := range 41 {
		now := begin.Add(time.Duration(i) * 100 * time.Millisecond)
		s.audio(fromBot, 800, now)
		s.marked(fromBot, fmt.Sprint(i), now)
	}
	s.end("gone")
	want := []string{
		`from the bot: 21 media, 2.1s of audio, 20 marks up to "19"`,
		`from the bot: 20 media, 2s of audio, 20 marks up to "39"`,
		`from the bot: mark "40"`,
		"the bot's WebSocket is closed: gone",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got %q; want %q", lines, want)
	}
}
