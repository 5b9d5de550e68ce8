package scenario

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode"

	"flowbridge/media/audio"
	"flowbridge/media/voice"
	"flowbridge/sim"
)

// A program that the file names turns the agent's words into text. It gets each utterance as a WAV file.
const (
	transcribeLimit = time.Minute
	textMost        = 64 << 10               // bytes of an utterance's text
	around          = 300 * time.Millisecond // what a WAV file has before and behind the words
	jumped          = time.Second            // a timestamp that is off by more begins a new stream
)

// Said is an utterance of the agent. Times are counted from the answer, in seconds.
type Said struct {
	From float64 `json:"from"`
	To   float64 `json:"to"`
	Text string  `json:"text"`
}

// sound keeps what the agent sends, by its place in the call.
type sound struct {
	samples []int16
	ssrc    uint32
	first   uint32 // the timestamp at begin
	begin   int    // in samples
}

// keep keeps a packet that came so long after the begin of the call.
func (s *sound) keep(p *sim.Packet, came, limit time.Duration) {
	law, ok := map[voice.Content]audio.Law{voice.MuLaw: audio.ULaw, voice.ALaw: audio.ALaw}[voice.ContentOf(p.PayloadType)]
	if !ok || p.Event {
		return
	}
	place := s.begin + int(int32(p.Timestamp-s.first))
	if len(s.samples) == 0 || p.SSRC != s.ssrc || (time.Duration(place)*time.Second/audio.Rate-came).Abs() > jumped {
		s.ssrc, s.first, s.begin = p.SSRC, p.Timestamp, at(came)
		place = s.begin
	}
	end := place + len(p.Payload)
	if place < 0 || end > at(limit) {
		return
	}
	if more := end - len(s.samples); more > 0 {
		s.samples = append(s.samples, make([]int16, more)...)
	}
	law.Decode(s.samples[place:end], p.Payload)
}

// part returns the sound of an utterance.
func (s *sound) part(of span) []int16 {
	from, to := max(at(of.from-around), 0), min(at(of.to+around), len(s.samples))
	return s.samples[min(from, to):to]
}

// window returns the time in which the agent's words count for says of a step: from the step, or from the caller's
// words in it, until its next words or keys. speaks reports whether the step has words, and ok whether it began.
func (c *caller) window(step int, end time.Duration) (from, to time.Duration, speaks, ok bool) {
	if step >= len(c.times) {
		return 0, 0, false, false
	}
	from, to = c.times[step], end
	for _, a := range c.acts {
		switch {
		case a.step == step:
			from, speaks = a.from, true
		case a.step > step:
			to = min(to, a.from)
		}
	}
	for i := step + 1; i < len(c.times); i++ {
		if c.test.Steps[i].Press != "" {
			to = min(to, c.times[i])
		}
	}
	return from, to, speaks, true
}

// transcribe adds the agent's words to the transcript of a run, and the words that each says looks at to its texts.
func (run *Run) transcribe(ctx context.Context, c *caller, answered, end time.Duration) {
	if c.test.Transcribe == "" {
		return
	}
	c.mu.Lock()
	heard, _ := c.utterances(end)
	c.mu.Unlock()
	heard = slices.DeleteFunc(slices.Clone(heard), func(s span) bool { return s.to-s.from < word })
	var failed error
	texts := make([]string, len(heard))
	for i, s := range heard {
		text, err := transcriber{c.test.Transcribe, transcribeLimit}.text(ctx, c.sound.part(s))
		if texts[i] = text; err != nil {
			failed = cmp.Or(failed, fmt.Errorf("transcribe: %w", err))
			texts[i] = "?"
		}
		run.Transcript = append(run.Transcript, Said{(s.from - answered).Seconds(), (s.to - answered).Seconds(), texts[i]})
	}
	for _, x := range c.test.Expect {
		if b := bound(x); !b.isSaid() {
			continue // it may be of the whole call, and of no step
		}
		from, to, speaks, ok := c.window(x.Step-1, end)
		if !ok {
			continue
		} else if failed != nil {
			run.Untold = failed.Error()
			continue
		}
		var all []string
		for i, s := range heard {
			if s.from < to && (s.from >= from || !speaks && s.to > from) {
				all = append(all, texts[i])
			}
		}
		run.Texts[saidIn(x.Step)] = strings.TrimSpace(strings.Join(all, " "))
	}
}

// saidIn names the text of what the agent says in a step.
func saidIn(step int) string { return fmt.Sprintf("said in step %d", step) }

// isSaid reports whether the expectation is about the agent's words.
func (b *bound) isSaid() bool { return b.Figure == "says" || b.Figure == "says_not" }

// judgeSaid looks for words in what the agent has said.
func (b *bound) judgeSaid(runs []Run) Verdict {
	verbs := map[string]string{"says": "says ", "says_not": "does not say "}
	v := Verdict{Name: b.Name, N: len(runs), Verdict: met, Bound: verbs[b.Figure] + b.Text}
	for i := range runs {
		text, told := runs[i].Texts[saidIn(b.Step)]
		figure, is := cmp.Or(text, "nothing"), met
		switch has := strings.Contains(plain(text), plain(b.Text)); {
		case !told:
			figure, is = cmp.Or(runs[i].Untold, "the step did not begin"), undecided
		case b.Figure == "says" && !has, b.Figure == "says_not" && has:
			is = missed
		case text == "": // so it says nothing wrong either
			is = undecided
		}
		if i == 0 || is == missed || v.Verdict == met {
			v.Figure = figure
		}
		if is == missed || v.Verdict == met {
			v.Verdict = is
		}
	}
	return v
}

// plain returns words in lower case, without what is no letter and no digit.
func plain(text string) string {
	other := func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) }
	return strings.Join(strings.FieldsFunc(strings.ToLower(text), other), " ")
}

// transcriber turns sound into text. how is a command or a URL.
type transcriber struct {
	how   string
	limit time.Duration
}

// text returns the words of a sound.
func (t transcriber) text(ctx context.Context, pcm []int16) (text string, err error) {
	inTime, cancel := context.WithTimeout(ctx, t.limit)
	defer cancel()
	if strings.Contains(t.how, "://") {
		text, err = t.post(inTime, audio.WAV(pcm))
	} else {
		text, err = t.run(inTime, audio.WAV(pcm))
	}
	if err != nil && inTime.Err() != nil && ctx.Err() == nil {
		err = fmt.Errorf("no text within %v", t.limit)
	}
	return strings.Join(strings.Fields(strings.ToValidUTF8(text, "\uFFFD")), " "), err
}

// run gives a WAV file to the command, as its last argument. No shell sees it. At the time limit the processes that it
// has started end, too.
func (t transcriber) run(ctx context.Context, wav []byte) (text string, err error) {
	f, err := os.CreateTemp("", "flowbridge-*.wav") // only its owner may read it
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	if _, err = f.Write(wav); errors.Join(err, f.Close()) != nil {
		return "", fmt.Errorf("the WAV file can't be written: %w", err)
	}
	args := append(strings.Fields(t.how), f.Name())
	var out, errs limited
	cmd := exec.CommandContext(ctx, args[0], args[1:]...) //nolint:gosec // the user's own file names it
	cmd.Stdout, cmd.Stderr, cmd.WaitDelay = &out, &errs, time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	kill := func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.Cancel = kill
	if err = cmd.Run(); cmd.Process != nil {
		_ = kill() // what it has left behind
	}
	if err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		why, _, _ := strings.Cut(strings.TrimSpace(string(errs.kept)), "\n")
		return "", fmt.Errorf("%w %s", err, why)
	}
	return string(out.kept), nil
}

// limited keeps the beginning of what is written to it.
type limited struct{ kept []byte }

func (l *limited) Write(p []byte) (int, error) {
	l.kept = append(l.kept, p[:min(len(p), textMost-len(l.kept))]...)
	return len(p), nil
}

// post posts a WAV file as the form that whisper.cpp's server and OpenAI's API take. The answer is JSON with a text, or
// the text.
func (t transcriber) post(ctx context.Context, wav []byte) (string, error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	part, err := form.CreateFormFile("file", "agent.wav")
	if err == nil {
		_, _ = part.Write(wav) // a buffer takes all
		err = errors.Join(form.WriteField("response_format", "json"), form.Close())
	}
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.how, &body)
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(res.Body, textMost))
	if err != nil {
		return "", err
	} else if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("it answered %s", res.Status)
	}
	var fields struct {
		Text *string `json:"text"`
	}
	if json.Unmarshal(text, &fields) == nil && fields.Text != nil {
		return *fields.Text, nil
	}
	return string(text), nil
}
