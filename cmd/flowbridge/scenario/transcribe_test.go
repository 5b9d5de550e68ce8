package scenario

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"flowbridge/config"
	"flowbridge/media/audio"
	"flowbridge/sim"
)

// script writes a program, and returns its path.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "transcribe")
	if err := os.WriteFile(file, []byte("#!/bin/sh\n"+text), 0o700); err != nil { //nolint:gosec // a program
		t.Fatal(err)
	}
	return file
}

// A command gets a WAV file as its last argument, and each argument as the file has it. The file is gone afterwards.
func TestTranscribeCommand(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	how := script(t, `echo "$# $1 $2"; stat -c %a "$3" >&2; head -c 4 "$3"; echo; wc -c < "$3"`)
	text, err := transcriber{how + "  -l  auto", transcribeLimit}.text(t.Context(), make([]int16, 800))
	if err != nil || text != "3 -l auto RIFF 1644" {
		t.Errorf("%q, %v", text, err)
	}
	for name, tt := range map[string]struct{ how, text, err string }{
		"fails":      {script(t, "echo no model >&2; echo half; exit 3"), "", "exit status 3 no model"},
		"is missing": {dir + "/none", "", "no such file"},
		"endless":    {script(t, "yes word | head -c 1000000"), "word word", ""},
		"no text":    {script(t, `printf 'a\377\000b'`), "a\uFFFD\x00b", ""},
	} {
		text, err = transcriber{tt.how, transcribeLimit}.text(t.Context(), nil)
		if !strings.HasPrefix(text, tt.text) || len(text) > textMost || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
			t.Errorf("%s: %.100q, %v", name, text, err)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// At the time limit the command ends, and so do the processes that it has started.
func TestTranscribeLimit(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "alive")
	how := script(t, fmt.Sprintf(`mkfifo %[1]s; (sleep 600 > %[1]s) & (sleep 600 < %[1]s) & sleep 600`, pipe))
	text, err := transcriber{how, 300 * time.Millisecond}.text(t.Context(), nil)
	if err == nil || text != "" || err.Error() != "no text within 300ms" {
		t.Errorf("%q, %v", text, err)
	}
	f, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	_ = f.SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := f.Read(make([]byte, 1)); !errors.Is(err, io.EOF) { // the end comes when no process has it open
		t.Errorf("a process outlives the limit: %v", err)
	}
}

// A URL gets a form with the WAV file, and answers with text or JSON. A redirect is not followed.
func TestTranscribeURL(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("redirected") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, head, err := r.FormFile("file")
		if err != nil || head.Size != 44+1600 || r.FormValue("response_format") != "json" {
			t.Errorf("%v, %+v", err, head)
			return
		}
		_ = f.Close()
		switch r.URL.Path {
		case "/json":
			fmt.Fprint(w, `{"text": " An\nappointment. ", "language": "en"}`)
		case "/text":
			fmt.Fprint(w, "An appointment.\n")
		case "/moved":
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer server.Close()
	for path, want := range map[string]string{
		"/json": "An appointment. <nil>", "/text": "An appointment. <nil>",
		"/moved": " it answered 307 Temporary Redirect", "/": " it answered 401 Unauthorized",
	} {
		text, err := transcriber{server.URL + path, transcribeLimit}.text(t.Context(), make([]int16, 800))
		if got := fmt.Sprint(text, " ", err); got != want {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// What the agent says in a step, from there until the caller's next words, is told and judged.
func TestSays(t *testing.T) {
	count := script(t, `wc -c < "$1" | awk '{ print ($1 > 50000 ? "Long, about an APPOINTMENT!" : "short") }'`)
	for _, tt := range []struct {
		steps   string
		how     string
		verdict map[string]string
	}{
		{"{wait: pause, says: short, says_not: appointment}, {say: 1s, says: an appointment, says_not: short}, {wait: pause, says: appointment}", count, map[string]string{
			"says of step 1": met, "says_not of step 1": met, "says of step 2": met, "says_not of step 2": met, "says of step 3": met,
		}},
		{"{wait: pause, says: appointment, says_not: SHORT}, {say: 1s, says: error}, {wait: pause}", count, map[string]string{
			"says of step 1": missed, "says_not of step 1": missed, "says of step 2": missed,
		}},
		{"{wait: pause, within: 100ms}, {say: 1s, says: a, says_not: b}", count, map[string]string{
			"says of step 2": undecided, "says_not of step 2": undecided,
		}},
		{"{wait: pause}, {silence: 2s, says: a, says_not: b}", count, map[string]string{
			"says of step 2": missed, "says_not of step 2": undecided,
		}},
		{"{wait: pause, says: a, says_not: b}", script(t, "exit 1"), map[string]string{
			"says of step 1": undecided, "says_not of step 1": undecided,
		}},
		{"{wait: pause, says: a, says_not: b}", script(t, "true"), map[string]string{
			"says of step 1": missed, "says_not of step 1": undecided,
		}},
	} {
		test, err := config.ParseConversation("test.yaml", fmt.Appendf(nil, "to: sip:agent@127.0.0.1\ntranscribe: %s\nsteps: [%s]\nexpect: {answered_within: 5s}\n", tt.how, tt.steps))
		if err != nil {
			t.Fatal(err)
		}
		run, _ := hold(t, test, &agent{delay: 500 * time.Millisecond})
		got := map[string]string{}
		for _, v := range judge(test, []Run{run}) {
			if strings.HasPrefix(v.Name, "says") {
				got[v.Name] = v.Verdict
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.verdict) {
			t.Errorf("%s: %v, want %v\n%+v", tt.steps, got, tt.verdict, run)
		}
		var b strings.Builder
		data, _ := json.Marshal(run)
		if result, _ := NewResult(test, []Run{run}, nil); result.JUnit(&b, "a.yaml", 0, false) != nil || tt.how == count &&
			(!strings.Contains(b.String(), "<system-out>run 0&#xA;") || !strings.Contains(string(data), `"text":"short"`) || !strings.Contains(run.told(), " s agent: short\n")) {
			t.Errorf("not told: %s\n%s", b.String(), data)
		}
	}
}

// The sound of an utterance is what the agent has sent, also after a new stream, and whatever the packets claim.
func TestSound(t *testing.T) {
	var s sound
	packet := func(ssrc, ts uint32, came time.Duration, v int16) {
		payload := make([]byte, 160)
		for i := range payload {
			payload[i] = audio.EncodeULaw(v)
		}
		s.keep(&sim.Packet{SSRC: ssrc, Timestamp: ts, Payload: payload}, came, time.Minute)
	}
	for i := range 50 {
		packet(1, math.MaxUint32-800+uint32(i)*160, time.Second+time.Duration(i)*frameTime, 1000)
	}
	packet(2, 5, 3*time.Second, 2000)
	packet(2, 1<<31, 3100*time.Millisecond, 3000)
	packet(2, 7, time.Hour, 3000)
	part := s.part(span{from: 1500 * time.Millisecond, to: 1600 * time.Millisecond})
	if len(part) != 700*8 || part[0] < 900 || part[len(part)-1] < 900 {
		t.Errorf("%d samples: %v", len(part), part[:10])
	}
	if at := s.samples[3*audio.Rate]; at < 1900 || at > 2100 || len(s.samples) > 4*audio.Rate {
		t.Errorf("%d, %d samples", at, len(s.samples))
	}
}

// Noise is as far below the words as the file says, and an agent's answers are measured through it.
func TestNoise(t *testing.T) {
	said := [][]int16{words(&config.Conversation{Steps: []config.ConversationStep{{Say: "3s"}}}, 0)}
	power := func(pcm []int16) (sum float64) {
		for _, v := range pcm {
			sum += float64(v) * float64(v)
		}
		return 10 * math.Log10(sum/float64(len(pcm)))
	}
	for _, kind := range []string{"street", "car", "crowd"} {
		noise := noiseOf(kind+" 15dB", said)
		if off := power(said[0]) - power(noise) - 15; math.Abs(off) > 0.5 {
			t.Errorf("%s is %.1f dB off", kind, off)
		}
		const steps = "steps: [{wait: pause}, {say: 2s}, {wait: pause}, {say: 2s}, {wait: pause}]\n"
		quiet := call(t, steps, &agent{delay: 800 * time.Millisecond, hears: 6000})
		run := call(t, "noise: "+kind+" 15dB\n"+steps, &agent{delay: 800 * time.Millisecond, hears: 6000})
		want, _, _ := collect([]Run{quiet}, answer, 0)
		answers, _, _ := collect([]Run{run}, answer, 0)
		if run.Failed != "" || run.Noisy != "" || len(answers) != 2 || len(want) != 2 {
			t.Fatalf("%s: %+v", kind, run)
		}
		for i := range want { // the agent hears the end of the words by their loudness, and so a little later
			if off := answers[i].Value - want[i].Value; math.Abs(off) > 200 {
				t.Errorf("%s: %v ms instead of %v", kind, answers[i].Value, want[i].Value)
			}
		}
	}
	if noiseOf("", said) != nil || noiseOf("street 15dB", nil) != nil {
		t.Error("noise of nothing")
	}
}
