package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/operate"
	"flowbridge/sim"
	"flowbridge/sim/synthflow"
	"flowbridge/store/record"
)

// minScore is the minimum similarity of received and sent speech. The same speech through G.711 scores above 0.95,
// other speech below 0.3.
const minScore = 0.8

// xeiLine matches X-EI in the form that the platform's documents require.
var xeiLine = regexp.MustCompile(`^X-EI: S\.[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12};$`)

// played is a demo call as seen by its three sides.
type played struct {
	seed    uint64
	carrier sim.CarrierResult
	agent   synthflow.Call
	record  record.Record

	greetingScore, wordsScore float64
}

func (s *stage) play(ctx context.Context, seed uint64, hold time.Duration) (played, error) {
	p := played{seed: seed}
	ctx, cancel := context.WithTimeout(ctx, hold+30*time.Second)
	defer cancel()
	var err error
	p.carrier, err = s.carrier.Call(ctx, sim.CarrierCall{
		To: fmt.Sprintf("sip:%s@%s", demoCalled, s.addr()), From: demoCaller,
		DisplayName: "Demo Caller", Hold: hold, Seed: seed, Listens: true,
	})
	if err != nil {
		return p, err
	}
	if p.carrier.Status != 200 {
		return p, fmt.Errorf("the carrier got %d %s", p.carrier.Status, p.carrier.Reason)
	}
	return p, nil
}

// settle waits until both legs of all calls are over and the records are written.
func (s *stage) settle(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := s.node.WaitIdle(ctx); err != nil {
		return fmt.Errorf("calls that don't end: %w", err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for slices.ContainsFunc(s.platform.Calls(), func(c synthflow.Call) bool { return c.EndedAt.IsZero() }) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return errors.New("the agent's legs don't end")
		}
	}
	return nil
}

// judge compares the views of the three sides. Its error lists every difference.
func (s *stage) judge(ctx context.Context, p *played) error {
	var err error
	if p.record, err = s.node.RecordOf(ctx, p.carrier.SIPCallID); err != nil {
		return err
	}
	var known bool
	p.agent, known = s.platform.Call(p.record.SynthflowCallID)
	if !known {
		return fmt.Errorf("the platform knows no call %q", p.record.SynthflowCallID)
	}
	_, p.greetingScore = sim.Match(p.carrier.Heard, sim.Greeting(p.record.SynthflowCallID))
	_, p.wordsScore = sim.Match(p.agent.Heard, sim.Words(p.seed)[:2*8000])
	return p.check()
}

func (p *played) check() error {
	var errs []error
	hold := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	hold(p.greetingScore >= minScore, "the greeting is not what the carrier heard (likeness %.2f)", p.greetingScore)
	hold(p.wordsScore >= minScore, "the caller's words are not what the agent heard (likeness %.2f)", p.wordsScore)
	hold(xeiLine.MatchString(p.agent.XEI), "the agent received %q", p.agent.XEI)
	hold(p.agent.XEI == "X-EI: S."+p.record.SynthflowCallID+";", "X-EI %q is not of call %s", p.agent.XEI,
		p.record.SynthflowCallID)
	hold(p.record.Disposition == record.DispositionAnswered && p.record.Cause == "caller_hangup" &&
		p.record.EndedBy == record.EndedByCaller, "the record says %s, %s, by %s", p.record.Disposition, p.record.Cause,
		p.record.EndedBy)
	hold(p.agent.EndedBy == sim.SideCaller, "the agent's leg was not ended by the caller's BYE")
	hold(p.carrier.RTP.Lost+p.agent.RTP.Lost == 0, "%d packets were lost toward the carrier, %d toward the agent",
		p.carrier.RTP.Lost, p.agent.RTP.Lost)
	return errors.Join(errs...)
}

func (p *played) toCarrier() sim.MarkPair {
	return sim.MarkPair{Sent: p.agent.SentMarks, Heard: p.carrier.HeardMarks}
}

func (p *played) toAgent() sim.MarkPair {
	return sim.MarkPair{Sent: p.carrier.SentMarks, Heard: p.agent.HeardMarks}
}

// oneCall places one call and prints all details.
func (s *stage) oneCall(ctx context.Context, out io.Writer) (played, error) {
	fmt.Fprintf(out, "calling %s …\n\n", demoCalled)
	p, failed := s.play(ctx, 1, demoHold)
	if failed == nil {
		failed = s.settle(ctx)
	}
	if failed == nil {
		failed = s.judge(ctx, &p)
	}
	if p.record.ID == "" { // there may be a record although the call failed
		var err error
		if p.record, err = s.node.RecordOf(ctx, p.carrier.SIPCallID); err != nil {
			return p, failed
		}
	}
	said, err := s.node.Ladder(ctx, p.record.ID)
	if err == nil {
		err = said.Draw(out, cli.Width(out))
	}
	if err != nil {
		return p, err
	}
	toCarrier, toAgent := sim.PooledDelays([]sim.MarkPair{p.toCarrier()}), sim.PooledDelays([]sim.MarkPair{p.toAgent()})
	fmt.Fprintf(out, `
the agent received   %s
greeting             heard at the carrier, likeness %.2f
caller's words       heard at the agent, likeness %.2f
post-dial delay      %v to ringing, %v to the answer
one-way delay        to the carrier p50 %v p99 %v, to the agent p50 %v p99 %v
loss                 %d of %d packets toward the carrier, %d of %d toward the agent
conversation         %s
record               %s: %s, %s, codec %s (flowbridge demo --json has all of it)
`, p.agent.XEI, p.greetingScore, p.wordsScore,
		p.carrier.PostDialDelay.Round(100*time.Microsecond), p.carrier.AnsweredAt.Sub(p.carrier.InvitedAt).
			Round(100*time.Microsecond),
		toCarrier.P50.Round(time.Microsecond), toCarrier.P99.Round(time.Microsecond),
		toAgent.P50.Round(time.Microsecond), toAgent.P99.Round(time.Microsecond),
		p.carrier.RTP.Lost, p.agent.RTP.Sent, p.agent.RTP.Lost, p.carrier.RTP.Sent,
		operate.TalkLine(p.record.Talk), p.record.ID, p.record.Disposition, p.record.Cause, p.record.Codec)
	if failed != nil {
		return p, fmt.Errorf("the call did not hold: %w", failed)
	}
	fmt.Fprintln(out, "\nall of it held")
	return p, nil
}

// demoRate is the number of new calls per second.
const demoRate = 100

// manyCalls places n overlapping calls and prints a summary.
func (s *stage) manyCalls(ctx context.Context, out io.Writer, n int) (demoSums, error) {
	var wg sync.WaitGroup
	var up, done atomic.Int64
	results, failures := make([]played, n), make([]error, n)
	finished := make(chan struct{})
	go s.progress(out, n, &up, &done, finished)
	hold := demoHold + time.Duration(n)*time.Second/demoRate // the first call stays until the last is up
	tick := time.NewTicker(time.Second / demoRate)
	defer tick.Stop()
	for i := range n {
		wg.Go(func() {
			up.Add(1)
			defer func() { up.Add(-1); done.Add(1) }()
			results[i], failures[i] = s.play(ctx, uint64(i)+1, hold)
		})
		<-tick.C
	}
	wg.Wait()
	close(finished)
	// Compare the sound only now: it takes CPU time, which would distort the measurements during the calls.
	if err := s.settle(ctx); err != nil {
		return demoSums{}, err
	}
	for i := range results {
		if failures[i] == nil {
			failures[i] = s.judge(ctx, &results[i])
		}
	}
	return summarise(out, results, failures)
}

// progress prints once a second how many calls are up and how many are done.
func (s *stage) progress(out io.Writer, n int, up, done *atomic.Int64, finished <-chan struct{}) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			fmt.Fprintf(out, "%4d calls up, %d of %d done\n", up.Load(), done.Load(), n)
		case <-finished:
			return
		}
	}
}

// demoSums are the sums of a demo's calls. Durations are in milliseconds.
type demoSums struct {
	Calls       int          `json:"calls"`
	Failed      int          `json:"failed"`
	PostDialMS  percentileMS `json:"post_dial_ms"` // time from the INVITE to ringing
	AnswerMS    percentileMS `json:"answer_ms"`
	ToCarrierMS percentileMS `json:"to_carrier_ms"` // the delay that Flowbridge adds to RTP
	ToAgentMS   percentileMS `json:"to_agent_ms"`
	Lost        uint64       `json:"lost"`
	Packets     uint64       `json:"packets"`
}

// percentileMS are two percentiles, in milliseconds.
type percentileMS struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

func percentiles(p50, p99 time.Duration) percentileMS {
	return percentileMS{milliseconds(p50), milliseconds(p99)}
}

// summarise prints and returns the sums. Its error says how many calls failed the check.
func summarise(out io.Writer, results []played, failures []error) (demoSums, error) {
	var toCarrier, toAgent []sim.MarkPair
	var dial, answer []time.Duration
	sums := demoSums{Calls: len(results)}
	for i, p := range results {
		if failures[i] != nil {
			if sums.Failed++; sums.Failed <= 10 {
				fmt.Fprintf(out, "call %d: %v\n", i+1, failures[i])
			}
			continue
		}
		toCarrier, toAgent = append(toCarrier, p.toCarrier()), append(toAgent, p.toAgent())
		dial = append(dial, p.carrier.PostDialDelay)
		answer = append(answer, p.carrier.AnsweredAt.Sub(p.carrier.InvitedAt))
		sums.Lost += p.carrier.RTP.Lost + p.agent.RTP.Lost
		sums.Packets += p.carrier.RTP.Sent + p.agent.RTP.Sent
	}
	c, a := sim.PooledDelays(toCarrier), sim.PooledDelays(toAgent)
	sums.PostDialMS = percentiles(quantile(dial, 50), quantile(dial, 99))
	sums.AnswerMS = percentiles(quantile(answer, 50), quantile(answer, 99))
	sums.ToCarrierMS, sums.ToAgentMS = percentiles(c.P50, c.P99), percentiles(a.P50, a.P99)
	fmt.Fprintf(out, `
calls            %d, of which %d failed
post-dial delay  p50 %v p99 %v
answer           p50 %v p99 %v
one-way delay    to the carrier p50 %v p99 %v, to the agent p50 %v p99 %v
loss             %d of %d packets
`, sums.Calls, sums.Failed, quantile(dial, 50), quantile(dial, 99), quantile(answer, 50), quantile(answer, 99),
		c.P50.Round(time.Microsecond), c.P99.Round(time.Microsecond), a.P50.Round(time.Microsecond),
		a.P99.Round(time.Microsecond),
		sums.Lost, sums.Packets)
	if sums.Failed > 0 {
		return sums, fmt.Errorf("%d of %d calls did not hold", sums.Failed, sums.Calls)
	}
	fmt.Fprintln(out, "\nall of it held")
	return sums, nil
}

func quantile[T cmp.Ordered](values []T, percent int) T {
	var zero T
	if len(values) == 0 {
		return zero
	}
	slices.Sort(values)
	return values[(len(values)-1)*percent/100]
}
