package scenario

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/ladder"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/node"
	"flowbridge/cmd/flowbridge/testcall"
	"flowbridge/config"
	"flowbridge/sim"
	"flowbridge/store/record"
)

// Calls says how the calls of a test are placed.
type Calls struct {
	Config           func() (*config.Config, error) // has the target of the test
	Server           string                         // host and port of a running server; empty: none
	Repeat, Parallel int
	Out              string                                               // directory for recordings; empty: none
	Capsule          func(ctx context.Context, id string) ([]byte, error) // what the server keeps of a call; may be nil
	Each             func(*Run)                                           // is called after each call
}

// sampleNumber is what the caller of a target dials if the test has no number.
const sampleNumber = "+15075785607"

// ownConfig leads from the caller of the test to an agent.
const ownConfig = `
trunks: [{name: test, sources: [local]}]
targets: [{name: %[1]q, kind: sip, uri: %[2]q, transfer: relay, transfer_numbers: [.], pass_headers: [%[3]s]}]
routes: [{trunk: test, targets: [%[1]q], record: %[4]s}]
%[5]s`

// configure returns a configuration for the calls of a test.
func (o *Calls) configure(t *config.Conversation) (*config.Config, error) {
	uri, names, records, recording := t.To, "", "off", ""
	switch {
	case t.Target != "" && o.Server == "":
		uri = "sip:127.0.0.1"
	case t.To == "" || strings.HasPrefix(t.To, "sip:") == (o.Server != ""):
		return nil, cli.Usage("whom to call? Write target: NAME, or to: with a SIP URI, or with --server to: with a number")
	case o.Server != "":
		uri = "sip:" + t.To + "@" + o.Server
		if slices.ContainsFunc(t.Expect, func(x config.Expectation) bool { return strings.HasPrefix(x.Figure, received) }) {
			return nil, cli.Usage("expect.received: with --server only the server sees the agent's INVITE; remove it")
		}
	}
	seen := map[string]bool{} // a header may come twice
	for _, h := range t.Headers {
		if name, _, _ := strings.Cut(h, ":"); !seen[name] {
			seen[name], names = true, fmt.Sprintf("%s%q, ", names, name)
		}
	}
	if o.Out != "" {
		if err := os.MkdirAll(o.Out, 0o700); err != nil {
			return nil, cli.Usage("--out: %w", err)
		}
		records, recording = "always", fmt.Sprintf("recording: {path: %q, keep: 3650d}\n", o.Out)
	}
	name := cmp.Or(t.Target, "agent")
	text := fmt.Appendf(nil, ownConfig, name, uri, names, records, recording)
	own, err := config.Parse("test", text, os.LookupEnv)
	if err != nil {
		return nil, cli.Usage("the file or --server can't be used: %w", err)
	} else if t.Target == "" || o.Server != "" {
		return own, nil
	}
	cfg, err := o.Config()
	if err != nil {
		return nil, err
	}
	target := cfg.Target(name)
	if target == nil {
		return nil, cli.Usage("the configuration has no target %q", name)
	}
	own.Store.Path = filepath.Join(os.DevNull, "none") // only a server remembers the address that advertise: auto finds
	own.SIP, own.Media, own.Sounds, own.Targets = cfg.SIP, cfg.Media, cfg.Sounds, []config.Target{*target}
	if target.Transfer == config.TransferLocal {
		own.Targets[0].Transfer = config.TransferRelay // the caller of the test gets the REFER: nobody else is called
	}
	return own, nil
}

// Place places the calls of a test. It returns no runs if they can't have a verdict. A call that can't be placed, or
// kept, is a run that has failed: the others are paid for.
func (o *Calls) Place(ctx context.Context, t *config.Conversation) (runs []Run, err error) {
	if len(t.Steps) == 0 {
		return nil, cli.Usage("steps: is missing: write what the caller does, or name a recorded call with --caller")
	}
	said, err := wordsOf(t)
	if err != nil {
		return nil, err
	}
	own, err := o.configure(t)
	if err == nil {
		err = node.FindAddress(ctx, own, node.Console(zerolog.WarnLevel))
	}
	if err != nil {
		return nil, err
	}
	own.Media.Engine, own.Media.Insight = config.EngineUserspace, config.InsightOn
	own.Media.PortLow, own.Media.PortHigh = 8192, 9999 // a server on this machine has others
	aside, err := testcall.OpenAside(ctx, own, "test", nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, aside.Close()) }()
	runs = make([]Run, o.Repeat)
	slots := make(chan struct{}, o.Parallel)
	var calls sync.WaitGroup
	var printing sync.Mutex
	for i := range runs {
		if slots <- struct{}{}; ctx.Err() != nil {
			break
		}
		calls.Go(func() {
			defer func() { <-slots }()
			runs[i] = o.place(ctx, t, said, aside)
			runs[i].Run = i + 1
			printing.Lock()
			defer printing.Unlock()
			o.Each(&runs[i])
		})
	}
	calls.Wait()
	if ctx.Err() != nil {
		return nil, errors.New("interrupted, so there is no verdict")
	}
	return runs, nil
}

// place places a call.
func (o *Calls) place(ctx context.Context, t *config.Conversation, said [][]int16, aside *testcall.Aside) Run {
	talking, hangUp := context.WithCancel(ctx)
	defer hangUp()
	c := newCaller(t, said, hangUp)
	call := sim.CarrierCall{
		To: cmp.Or(t.To, sampleNumber), From: t.From, Party: c,
		OnRefer: func(uri string) int { c.referred.CompareAndSwap(nil, &uri); return 200 },
	}
	if strings.HasPrefix(t.To, "sip:") {
		call.To = "agent"
	}
	for _, h := range t.Headers {
		name, value, _ := strings.Cut(h, ": ")
		call.Headers = append(call.Headers, sim.Header{Name: name, Value: value})
	}
	r, rec, l, err := aside.Call(talking, call)
	if err != nil {
		return Run{CallID: rec.ID, Failed: err.Error()}
	}
	run := newRun(c, r, &rec, l)
	if !r.AnsweredAt.IsZero() {
		run.transcribe(ctx, c, r.AnsweredAt.Sub(c.began), r.EndedAt.Sub(c.began))
	}
	if o.Server != "" {
		run.Server = rec.TargetSIPCallID
	}
	if o.Out != "" && slices.ContainsFunc(judge(t, []Run{run}), func(v Verdict) bool { return v.Verdict == missed }) {
		if err = o.keep(ctx, &rec, l); err != nil {
			run.Failed = strings.TrimPrefix(run.Failed+"; "+err.Error(), "; ")
		}
	}
	return run
}

// keep writes what is known of a failed call.
func (o *Calls) keep(ctx context.Context, rec *record.Record, l *ladder.Ladder) error {
	file := filepath.Join(o.Out, rec.ID)
	var drawn strings.Builder
	err := errors.Join(l.Draw(&drawn, 0), os.WriteFile(file+".txt", []byte(drawn.String()), 0o600))
	if o.Capsule == nil {
		return err
	}
	data, failed := o.Capsule(ctx, rec.TargetSIPCallID)
	if failed == nil {
		failed = os.WriteFile(file+".zip", data, 0o600)
	}
	return errors.Join(err, failed)
}
