package scenario

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/media/audio"
)

// recorded returns a WAV file as a server writes it. Each side speaks at the given times, in milliseconds.
func recorded(end int, sides ...[][2]int) []byte {
	pcm := make([]int16, 2*end*audio.Rate/1000)
	for side, all := range sides {
		for _, s := range all {
			said := words(&config.Conversation{Steps: []config.ConversationStep{{Say: fmt.Sprintf("%dms", s[1]-s[0])}}}, 0)
			for i, v := range said {
				pcm[2*(s[0]*audio.Rate/1000+i)+side] = v
			}
		}
	}
	var file bytes.Buffer
	file.WriteString("RIFF\x00\x00\x00\x00WAVEfmt ")
	for _, v := range []any{uint32(16), uint16(1), uint16(2), uint32(8000), uint32(32000), uint16(4), uint16(16)} {
		_ = binary.Write(&file, binary.LittleEndian, v)
	}
	file.WriteString("data")
	_ = binary.Write(&file, binary.LittleEndian, uint32(2*len(pcm)))
	_ = binary.Write(&file, binary.LittleEndian, pcm)
	return file.Bytes()
}

// yesterday is a call in which the caller answers the greeting after 1.2 s, interrupts the agent, continues after a
// pause of its own, and waits for the last answer.
var yesterday = recorded(20000,
	[][2]int{{3200, 4700}, {7500, 8500}, {10000, 11000}},
	[][2]int{{0, 2000}, {6000, 8800}, {12500, 15000}})

func replayed(t *testing.T, keepPauses bool, parts ...[]byte) *config.Conversation {
	t.Helper()
	test, err := config.ParseConversation("test.yaml", []byte("to: sip:agent@127.0.0.1\nexpect: {answer: 5s}\nsteps: [{say: 1s, expect: {answer: 1s}}]"), "steps")
	if err == nil {
		err = Replay(test, parts, keepPauses)
	}
	if err != nil {
		t.Fatal(err)
	}
	return test
}

// A caller of yesterday waits for an agent of today, and interrupts it.
func TestReplay(t *testing.T) {
	test := replayed(t, false, yesterday)
	run, acts := hold(t, test, &agent{delay: 700 * time.Millisecond, stops: 300 * time.Millisecond})
	var did []string
	for _, s := range test.Steps {
		did = append(did, strings.TrimSpace(fmt.Sprintf("%s%s %.1f %.1f", s.Wait, strings.Repeat("interrupt", min(len(s.Interrupt), 1)),
			s.After.Seconds()*float64(min(len(s.Interrupt), 1)), (s.Pause+s.Silence).Seconds())))
	}
	if got := strings.Join(did, "; "); got != "pause 0.0 1.2; 0.0 0.0; interrupt 1.5 0.0; 0.0 1.5; 0.0 0.0; pause 0.0 0.7" {
		t.Errorf("steps %s", got)
	}
	answers, _, _ := collect([]Run{run}, answer, 0)
	stopped, _, _ := collect([]Run{run}, stopsWithin, 0)
	if run.Failed != "" || run.Noisy != "" || len(acts) != 3 || len(answers) != 2 || len(stopped) != 1 || len(test.Expect) != 1 {
		t.Fatalf("%+v, said %v, expected %v", run, acts, test.Expect)
	}
	for _, s := range append(answers, stopped...) {
		if want := map[string]float64{answer: 700, stopsWithin: 300}[s.Figure]; s.Never || math.Abs(s.Value-want) > 60 {
			t.Errorf("%+v, want %v", s, want)
		}
	}
	for i, want := range []time.Duration{1500, 1000, 1000} {
		if took := acts[i].to - acts[i].from; (took - want*time.Millisecond).Abs() > 60*time.Millisecond {
			t.Errorf("the caller spoke for %v, want %d ms", took, want)
		}
	}
}

// With keepPauses the caller speaks at the recorded times until the end. What the agent says changes nothing.
func TestReplayKeepsPauses(t *testing.T) {
	for _, a := range []agent{{delay: 700 * time.Millisecond, stops: 300 * time.Millisecond}, {mute: true}} {
		test := replayed(t, true, yesterday)
		run, acts := hold(t, test, &a)
		answers, _, _ := collect([]Run{run}, answer, 0)
		if run.Failed != "" || len(acts) != 3 || len(answers) != 2 || answers[0].Never != a.mute {
			t.Fatalf("%+v, said %v", run, acts)
		}
		for i, want := range []time.Duration{3200, 7500, 10000} {
			if off := acts[i].from - want*time.Millisecond; off.Abs() > 2*frameTime {
				t.Errorf("the caller spoke at %v, want %d ms", acts[i].from, want)
			}
		}
		if took := run.Figures[1]; took.Figure != duration || math.Abs(took.Value-20000) > 60 {
			t.Errorf("took %+v, want 20 s", took)
		}
	}
}

// All parts of a recording are played, one after the other.
func TestReplayParts(t *testing.T) {
	test := replayed(t, true, yesterday, recorded(3000, [][2]int{{1000, 2000}}, nil))
	run, acts := hold(t, test, &agent{delay: 700 * time.Millisecond})
	if run.Failed != "" || len(acts) != 4 || (acts[3].from-21*time.Second).Abs() > 2*frameTime {
		t.Fatalf("%+v, said %v", run, acts)
	}
}

// What can't be replayed is told as a mistake in the order.
func TestReplayErrors(t *testing.T) {
	for _, tt := range []struct {
		parts [][]byte
		want  string
	}{
		{[][]byte{[]byte("{}")}, "the recording: not a WAV file"},
		{[][]byte{yesterday, yesterday[:1000]}, "its data are cut short"},
		{slices.Repeat([][]byte{yesterday}, 31), "the recording: its parts are longer than 10m0s"},
		{[][]byte{recorded(5000, nil, [][2]int{{1000, 3000}})}, "the caller of the recording says nothing"},
	} {
		test := &config.Conversation{}
		if err := Replay(test, tt.parts, false); err == nil || !strings.Contains(err.Error(), tt.want) || cli.ExitCode(err) != 2 {
			t.Errorf("got %v, want %s", err, tt.want)
		}
	}
	c, err := config.ParseConversation("test.yaml", []byte("to: sip:agent@127.0.0.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err = (&Calls{}).Place(t.Context(), c); err == nil || !strings.Contains(err.Error(), "steps: is missing") {
		t.Errorf("got %v", err)
	}
}
