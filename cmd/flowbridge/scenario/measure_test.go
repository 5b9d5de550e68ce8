package scenario

import (
	"context"
	"fmt"
	"math"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/media/audio"
	"flowbridge/sim"
)

// onWire is an agent as a sim.Party. It notes what it does, by its own clock.
type onWire struct {
	agent

	mu             sync.Mutex
	began          time.Time
	heard          []int16
	lastLoud       time.Time       // when the caller was heard last
	waits, stopped []time.Duration // from there to its own words; from the caller's words to its silence
	speaking       bool
	interrupted    time.Time
}

func (a *onWire) Hear(p sim.Packet) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.Event {
		return
	}
	pcm := make([]int16, len(p.Payload))
	audio.ULaw.Decode(pcm, p.Payload)
	for _, v := range pcm {
		if v > 300 || v < -300 {
			a.heard, a.lastLoud = pcm, p.At
			if a.speaking && a.interrupted.IsZero() {
				a.interrupted = p.At
			}
		}
	}
}

func (a *onWire) Speak(now time.Time, frame []int16) byte {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began.IsZero() {
		a.began = now
	}
	heard := a.heard
	if a.heard = nil; heard == nil {
		heard = make([]int16, len(frame))
	}
	copy(frame, a.frame(now.Sub(a.began), heard))
	switch speaks := len(a.left) > 0; {
	case speaks && !a.speaking && !a.lastLoud.IsZero():
		a.waits = append(a.waits, now.Sub(a.lastLoud))
		a.interrupted = time.Time{}
	case !speaks && a.speaking && !a.interrupted.IsZero():
		a.stopped = append(a.stopped, now.Sub(a.interrupted))
	}
	a.speaking = len(a.left) > 0
	return 0
}

// party lets an agent of each kind take the calls in turn.
type party struct {
	sim.Handler

	mu  sync.Mutex
	all map[string]*onWire // by the user part of the called address
}

func (p *party) Challenger(sim.Invite) *sim.Challenger { return nil }

func (p *party) NewCall(in *sim.Incoming) sim.Handler {
	ms, _ := strconv.Atoi(in.Header("X-Delay"))
	stops, _ := strconv.Atoi(in.Header("X-Stops"))
	a := &onWire{agent: agent{delay: time.Duration(ms) * time.Millisecond, stops: time.Duration(stops) * time.Millisecond}}
	in.Party = a
	p.mu.Lock()
	defer p.mu.Unlock()
	p.all[in.Header("X-Run")] = a
	return p
}

func (p *party) Admit() (int, string)                 { return 0, "" }
func (p *party) Settle(context.Context) (int, string) { return 0, "" }
func (p *party) Describe(*zerolog.Event)              {}
func (p *party) Over()                                {}

// TestOnTheWire measures agents whose delays are known over real RTP, where FLOWBRIDGE_MEASURE says how many calls, ten
// at once. An error is a figure that is more than 60 ms from what the agent itself has noted, beyond what late packets
// widen it by, and a verdict that the agent's own times contradict. How many verdicts are open depends on the machine.
func TestOnTheWire(t *testing.T) {
	calls, err := strconv.Atoi(os.Getenv("FLOWBRIDGE_MEASURE"))
	if err != nil {
		t.Skip("FLOWBRIDGE_MEASURE says how many calls: ten at once, of some 8 s")
	}
	p := &party{all: map[string]*onWire{}}
	sip, err := sim.OpenAgent(context.Background(), sim.AgentOptions{Name: "agent", RingFor: -1, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer sip.Close()
	sip.Serve(p)
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, 10)
	noisy, judged, open, verdicts, worst := 0, 0, 0, 0, 0.0
	for i := range calls {
		delay, stops := []int{200, 500, 1000, 2000, 5000}[i%5], []int{150, 400, 800, 0}[i%4]
		file := fmt.Sprintf(`
to: sip:agent@%s
headers: ["X-Delay: %d", "X-Stops: %d", "X-Run: %d"]
steps: [{wait: pause}, {say: 1s, expect: {answer: %dms}}, {wait: words}, {interrupt: 1s, after: 700ms, expect: {stops_within: %dms}}, {silence: 500ms}]
expect: {answer min: %dms}
`, sip.SIPAddr(), delay, stops, i, delay+100, stops+100, max(delay-100, 1))
		c, err := config.ParseConversation("test.yaml", []byte(file))
		if err != nil {
			t.Fatal(err)
		}
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			o := Calls{Repeat: 1, Parallel: 1, Each: func(*Run) {}}
			runs, err := o.Place(context.Background(), c)
			mu.Lock()
			defer mu.Unlock()
			p.mu.Lock()
			a := p.all[strconv.Itoa(i)]
			p.mu.Unlock()
			if err == nil && len(runs) == 1 && runs[0].Noisy != "" {
				noisy++
				return
			}
			if err != nil || len(runs) != 1 || runs[0].Failed != "" {
				t.Errorf("call %d: %v, %+v", i, err, runs)
				return
			}
			answers, _, _ := collect(runs, answer, 2)
			stopped, _, _ := collect(runs, stopsWithin, 4)
			if len(answers) != 1 || len(stopped) != 1 || len(a.waits) == 0 || stops > 0 && len(a.stopped) == 0 {
				t.Errorf("call %d: %+v, %v, %v", i, runs[0], a.waits, a.stopped)
				return
			}
			off := math.Abs(answers[0].Value-float64(a.waits[0].Milliseconds())) - answers[0].Off
			if stops > 0 {
				off = max(off, math.Abs(stopped[0].Value-float64(a.stopped[0].Milliseconds()))-stopped[0].Off)
			}
			if dead, _, _ := collect(runs, deadAir, 0); len(dead) == 1 { // from 3 s on
				truth := 0.0
				if ms := float64(a.waits[0].Milliseconds()); ms > 3000 {
					truth = ms
				}
				off = max(off, math.Abs(dead[0].Value-truth)-dead[0].Off)
			}
			worst, judged = max(worst, off), judged+1
			for _, v := range judge(c, runs) {
				if verdicts++; v.Verdict == undecided {
					open++
					continue
				}
				wrong := v.Name == "stops_within of step 4" && (stops == 0 || a.stopped[0] > time.Duration(stops+100)*time.Millisecond) ||
					v.Name == "answer of step 2" && a.waits[0] > time.Duration(delay+100)*time.Millisecond
				if want := map[bool]string{true: missed, false: met}[wrong]; v.Verdict != want {
					t.Errorf("call %d (%d, %d ms): %+v; the agent: %v, %v", i, delay, stops, v, a.waits, a.stopped)
				}
			}
			if off > 60 {
				t.Errorf("call %d (%d, %d ms): %v ms off: %+v; the agent: %v, %v", i, delay, stops, off, runs[0].Figures, a.waits, a.stopped)
			}
		})
	}
	group.Wait()
	t.Logf("%d calls: %d noisy, %d judged, at most %.0f ms from the truth; %d of %d verdicts are open", calls, noisy, judged, worst, open, verdicts)
}
