package scenario

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"flowbridge/b2bua/ladder"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/sim"
	"flowbridge/store/record"
)

// runsWith returns runs with one answer each: over of n take 2 s, the others 1 s.
func runsWith(n, over int) (runs []Run) {
	for i := range n {
		ms := 1000.0
		if i < over {
			ms = 2000
		}
		runs = append(runs, Run{Figures: []Sample{{Figure: answer, Step: 2, Value: ms}}})
	}
	return runs
}

// talking returns runs with so many answers each, all of them as slow as the first one.
func talking(answers int, runs []Run) []Run {
	for i := range runs {
		runs[i].Figures = slices.Repeat(runs[i].Figures, answers)
	}
	return runs
}

// A quantile of several runs is judged by the share of the figures over the limit: only beyond chance.
func TestVerdicts(t *testing.T) {
	noisy := runsWith(3, 0)
	for i := range noisy {
		noisy[i].Noisy = "busy"
	}
	early := []Run{{Figures: []Sample{{Figure: answer, Value: 900, Never: true}}}}
	for _, tt := range []struct {
		name, expect string
		runs         []Run
		verdict      string
		figure       string
	}{
		{"one call", "answer p95: 1500ms", runsWith(1, 0), met, "1.00 s"},
		{"one call too slow", "answer p95: 1500ms", runsWith(1, 1), missed, "2.00 s"},
		{"at the limit", "answer: 1s", runsWith(1, 0), met, "1.00 s"},
		{"7 of 20", "answer p95: 1500ms", runsWith(20, 7), missed, "7 of 20 over 1.50 s"},
		{"7 of 20 each", "answer: 1500ms", runsWith(20, 7), missed, "7 of 20 over 1.50 s"},
		{"7 of 20 by median", "answer p50: 1500ms", runsWith(20, 7), undecided, "7 of 20 over 1.50 s"},
		{"none of 20", "answer p95: 1500ms", runsWith(20, 0), undecided, "0 of 20 over 1.50 s"},
		{"none of 73", "answer p95: 1500ms", runsWith(73, 0), met, "0 of 73 over"},
		{"none of 4 by median", "answer p50: 1500ms", runsWith(4, 0), met, "0 of 4 over"},
		{"none of 3 by median", "answer p50: 1500ms", runsWith(3, 0), undecided, "too few calls for a verdict"},
		{"100 answers in 20 calls", "answer p95: 1500ms", talking(5, runsWith(20, 0)), undecided, "too few calls for a verdict; 0 of 100 over 1.50 s"},
		{"a slow call of 6", "answer p95: 1500ms", talking(12, runsWith(6, 1)), undecided, "[1.00-2.00]; too few calls for a verdict; 12 of 72"},
		{"7 slow calls of 20", "answer p95: 1500ms", talking(5, runsWith(20, 7)), missed, "35 of 100 over 1.50 s"},
		{"73 calls", "answer p95: 1500ms", talking(5, runsWith(73, 0)), met, "0 of 365 over"},
		{"all of 4 by median", "answer p50: 1500ms", runsWith(4, 4), missed, "4 of 4 over"},
		{"another step", "answer: 1500ms", nil, undecided, "not measured"},
		{"noisy", "answer: 1500ms", noisy, undecided, "noisy: busy"},
		{"partly noisy", "answer: 1500ms", append(noisy, runsWith(2, 0)...), met, "0 of 2 over 1.50 s; without 3 noisy runs"},
		{"never", "answer: 1500ms", early, missed, "not within 0.90 s"},
		{"never, of several", "answer p50: 1500ms", append(early, runsWith(2, 0)...), undecided, "1.00 s [1.00-never]; too few calls"},
		{"MOS", "mos: 4.0", []Run{{Figures: []Sample{{Figure: mos, Value: 3.9}}}}, missed, "3.9"},
		{"loss in a noisy run", "loss: 0%", []Run{{Noisy: "busy", Figures: []Sample{{Figure: loss}}}}, met, "0.0 %"},
		{"too short", "duration min: 1m", []Run{{Figures: []Sample{{Figure: duration, Value: 59999}}}}, missed, "60.00 s"},
		{"hung up by the agent", "hangup_by: caller", []Run{{Texts: map[string]string{hangUpBy: "agent"}}}, missed, "agent"},
		{"transferred", `transfer_to: "+1507"`, []Run{{Texts: map[string]string{transferTo: "sip:+1507@192.0.2.1"}}}, met, "sip:+1507@192.0.2.1"},
		{"transferred to a phone", `transfer_to: "+1507"`, []Run{{Texts: map[string]string{transferTo: "tel:+1507;phone-context=x"}}}, met, "tel:+1507"},
		{"transferred to a URI", `transfer_to: "sips:a@b"`, []Run{{Texts: map[string]string{transferTo: "sips:a@b"}}}, met, "sips:a@b"},
		{"transferred elsewhere", `transfer_to: "+1507"`, []Run{{Texts: map[string]string{transferTo: "sip:+15070@192.0.2.1"}}}, missed, "sip:+15070@192.0.2.1"},
		{"not transferred", `transfer_to: "+1507"`, runsWith(1, 0), missed, "none"},
		{"a header", `received X-A: "42"`, []Run{{Texts: map[string]string{"received x-a": "42"}}}, met, "42"},
	} {
		c, err := config.ParseConversation("test.yaml", []byte("steps: [{say: 1s}, {wait: words}, {interrupt: 1s}]\nexpect: {'"+strings.Replace(tt.expect, ":", "':", 1)+"}\n"))
		if err != nil {
			t.Fatal(err)
		}
		v := judge(c, tt.runs)[1]
		if v.Verdict != tt.verdict || !strings.Contains(v.Figure, tt.figure) {
			t.Errorf("%s: %+v; want %s, %q", tt.name, v, tt.verdict, tt.figure)
		}
	}
}

// A later test is worse if its median lies above the earlier one beyond chance.
func TestBaseline(t *testing.T) {
	uneven := func(slow int) []Run {
		runs := talking(5, runsWith(8, slow))
		runs[7].Figures = runs[7].Figures[:4]
		return runs
	}
	for _, tt := range []struct {
		before, now []Run
		verdict     string
	}{
		{runsWith(20, 0), runsWith(20, 20), missed},
		{runsWith(20, 20), runsWith(20, 0), met},
		{runsWith(20, 7), runsWith(20, 10), met},
		{runsWith(20, 0), runsWith(7, 7), undecided},
		{runsWith(20, 0), nil, undecided},
		{uneven(0), uneven(8), missed},
		{talking(10, runsWith(3, 0)), talking(10, runsWith(3, 3)), undecided},
		{talking(10, runsWith(20, 8)), talking(10, runsWith(20, 12)), met},
		{talking(10, runsWith(20, 0)), talking(10, runsWith(20, 20)), missed},
		{runsWith(20, 0), append(runsWith(7, 0), Run{Figures: []Sample{{Figure: answer, Value: 300, Never: true}}}), undecided},
	} {
		v := worse(tt.before, tt.now)
		if len(v) != 1 || v[0].Verdict != tt.verdict {
			t.Errorf("%d and %d runs: %+v; want %s", len(tt.before), len(tt.now), v, tt.verdict)
		}
	}
}

// What is compared with is the JSON of a test that has times.
func TestBaselineFile(t *testing.T) {
	whole, err := json.Marshal(&Result{Runs: runsWith(2, 0)})
	if r, failed := Baseline(whole); err != nil || failed != nil || len(r.Runs) != 2 {
		t.Errorf("%v, %v, %s", err, failed, whole)
	}
	for _, text := range []string{"", "null", "[]", "{}", `{"runs": []}`, `{"runs": [{"figures": null}]}`} {
		if _, err := Baseline([]byte(text)); err == nil {
			t.Errorf("%q is compared with", text)
		}
	}
}

// The XML escapes what an agent has said, and has a failure for a verdict that is missed, and skips an undecided one.
func TestJUnit(t *testing.T) {
	c, err := config.ParseConversation("test.yaml", []byte("steps: [{say: 1s}, {wait: words}]\nexpect: {hangup_by: agent, answer: 1s}\n"))
	if err != nil {
		t.Fatal(err)
	}
	r, err := NewResult(c, []Run{{Failed: `<"busy">`, Texts: map[string]string{hangUpBy: "agent"}}}, nil)
	if err == nil || r.OK || cli.ExitCode(err) != cli.ExitFailed {
		t.Errorf("%v", err)
	}
	for fails, want := range map[bool]string{
		false: `<testsuite name="ci/a&amp;b.yaml" tests="3" failures="1" skipped="1" time="2.500">` +
			`<testcase classname="a&amp;b" name="conversation" time="2.500">` +
			`<failure message="missed: 0 of 1; &lt;&#34;busy&#34;&gt;">0 of 1; &lt;&#34;busy&#34;&gt;; wanted: as the steps say</failure></testcase>` +
			`<testcase classname="a&amp;b" name="hangup_by" time="0"></testcase>` +
			`<testcase classname="a&amp;b" name="answer" time="0"><skipped message="undecided: not measured">not measured; wanted: at most 1.00 s</skipped></testcase></testsuite>`,
		true: `failures="2" skipped="0"`,
	} {
		var b strings.Builder
		if err := r.JUnit(&b, "ci/a&b.yaml", 2500*time.Millisecond, fails); err != nil || !strings.Contains(b.String(), want) {
			t.Errorf("%v, %s; want %s", err, b.String(), want)
		}
	}
}

// A late packet widens the figures by its lateness. A verdict is open only if the bound lies within.
func TestLatePackets(t *testing.T) {
	const file = "steps: [{say: 1s}, {wait: words}]\nexpect: {%s}"
	off := func(ms ...float64) (runs []Run) {
		for _, v := range ms {
			runs = append(runs, Run{Figures: []Sample{{Figure: answer, Value: v, Off: 40}}})
		}
		return runs
	}
	for _, tt := range []struct {
		expect  string
		runs    []Run
		verdict string
		figure  string
	}{
		{"answer: 1500ms", off(2500), missed, "2.50 s ± 0.04"},
		{"answer: 1500ms", off(1450), met, "1.45 s ± 0.04"},
		{"answer: 1500ms", off(1470), undecided, "1.47 s ± 0.04; packets of the caller left late, this machine is busy"},
		{"answer: 1500ms", off(1541), missed, "1.54 s ± 0.04"},
		{"answer: 1500ms", off(1530, 1000), undecided, "1.53 s ± 0.04"},
		{"answer min: 1s", off(1030), undecided, "1.03 s ± 0.04"},
		{"answer min: 1s", off(1050), met, "1.05 s ± 0.04"},
		{"answer min: 1s", off(950), missed, "0.95 s ± 0.04"},
		{"answer p50: 1500ms", off(1600, 1600, 1600, 1600), missed, "4 of 4 over"},
		{"answer p50: 1500ms", off(1520, 1600, 1600, 1600), undecided, "4 of 4 over"},
		{"answer p50: 1500ms", off(1000, 1000, 1000, 1000), met, "0 of 4 over"},
		{"answer p50: 1500ms", off(1480, 1000, 1000, 1000), undecided, "0 of 4 over"},
	} {
		c, err := config.ParseConversation("test.yaml", fmt.Appendf(nil, file, tt.expect))
		if err != nil {
			t.Fatal(err)
		}
		r, err := NewResult(c, tt.runs, nil)
		if v := r.Verdicts[1]; v.Verdict != tt.verdict || !strings.Contains(v.Figure, tt.figure) {
			t.Errorf("%s: %+v; want %s, %q", tt.expect, v, tt.verdict, tt.figure)
		}
		want := map[string]int{missed: cli.ExitFailed, undecided: cli.ExitUndecided}[tt.verdict]
		if got := cli.ExitCode(err); err != nil && got != want {
			t.Errorf("%s: exit code %d, want %d", tt.expect, got, want)
		}
	}
	before, now := off(1460, 1460, 1460, 1460, 1460, 1460, 1460, 1460), off(1530, 1530, 1530, 1530, 1530, 1530, 1530, 1530)
	if v := worse(before, now); v[0].Verdict != met {
		t.Errorf("worse by less than what both are off: %+v", v)
	}
}

// An agent that sends no RTP has no first words, and the test says so.
func TestAgentWithoutRTP(t *testing.T) {
	test, err := config.ParseConversation("test.yaml", []byte("to: sip:a@127.0.0.1\nsteps: [{silence: 1s}]\nexpect: {first_audio: 2s}"))
	if err != nil {
		t.Fatal(err)
	}
	c, answered := newCaller(test, nil, func() {}), time.Now()
	r := sim.CarrierResult{Status: 200, InvitedAt: answered, AnsweredAt: answered, EndedAt: answered.Add(time.Second)}
	verdicts := judge(test, []Run{newRun(c, r, &record.Record{EndedBy: record.EndedByCaller}, &ladder.Ladder{})})
	for i, want := range []string{"0 of 1; the agent sent no RTP", "not within 1.00 s"} {
		if v := verdicts[i]; v.Verdict != missed || v.Figure != want {
			t.Errorf("%+v, want %s", v, want)
		}
	}
}

// What the agent has got is a header of its own INVITE, and else a field of a request before it.
func TestGotten(t *testing.T) {
	got := gotten(&ladder.Ladder{Messages: []ladder.Message{
		{Kind: "http", Text: "POST /call HTTP/1.1\r\nX-No: 1\r\n\r\n{\"a\":{\"to\":\"no\"},\"to\":\"+1\",\"vars\":[{\"Plan\":\"gold\",\"n\":15075550100,\"e\":\"no\"}],\"e\":\"\",\"x-a\":\"no\"}"},
		{Kind: "http", Status: 200, Text: "HTTP/1.1 200 OK\r\n\r\n{\"plan\":\"answer\"}"},
		{Kind: "http", Text: "POST /call HTTP/1.1\r\n\r\nno JSON"},
		{Kind: "sip", Method: "INVITE", SIPCallID: "other", Text: "INVITE sip:a SIP/2.0\r\nX-A: other\r\n\r\n"},
		{Kind: "sip", Method: "INVITE", SIPCallID: "b", Text: "INVITE sip:a SIP/2.0\r\nX-A:  1 \r\n\r\nv=0\r\nx-b: 2\r\n"},
		{Kind: "http", Text: "POST /later HTTP/1.1\r\n\r\n{\"x-a\":\"later\",\"x-b\":\"later\"}"},
	}}, "b")
	for name, want := range map[string]string{"plan": "gold", "n": "15075550100", "e": "", "to": "+1", "x-a": "1", "x-b": "", "x-no": ""} {
		if got[received+" "+name] != want {
			t.Errorf("%s: %q, want %q", name, got[received+" "+name], want)
		}
	}
}

// A call of a server is named by the Call-ID that the server knows, too.
func TestServersCall(t *testing.T) {
	run := Run{Run: 1, CallID: "own", Server: "a@b", Figures: []Sample{{Figure: answer, Value: 1000}}}
	if got := run.String(); got != "run 1 own, at the server Call-ID a@b, answer 1.00 s" {
		t.Error(got)
	}
}
