package main

import (
	"context"
	"errors"
	"io"
	"time"

	"flowbridge/store/record"
)

// demoOutcome is the result of a demo as JSON.
type demoOutcome struct {
	OK    bool      `json:"ok"`
	Error string    `json:"error,omitempty"`
	Call  *demoCall `json:"call,omitempty"` // set for one call
	Sums  *demoSums `json:"sums,omitempty"` // set for several calls
}

type demoCall struct {
	XEI      string        `json:"x_ei"` // the line as the agent received it
	Greeting float64       `json:"greeting_likeness"`
	Words    float64       `json:"words_likeness"`
	DialMS   float64       `json:"post_dial_ms"`
	AnswerMS float64       `json:"answer_ms"`
	Lost     uint64        `json:"lost"`
	Packets  uint64        `json:"packets"`
	Record   record.Record `json:"record"`
}

// demoResult runs a demo and returns its result. The result also holds the error.
func demoResult(ctx context.Context, calls int) (result demoOutcome, err error) {
	defer func() {
		result.OK = err == nil
		if err != nil {
			result.Error = err.Error()
		}
	}()
	s, err := setStage(ctx, loopback)
	if err != nil {
		return result, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	if calls > 1 {
		sums, err := s.manyCalls(ctx, io.Discard, calls)
		result.Sums = &sums
		return result, err
	}
	p, err := s.oneCall(ctx, io.Discard)
	if p.record.ID != "" {
		result.Call = &demoCall{
			XEI: p.agent.XEI, Greeting: p.greetingScore, Words: p.wordsScore, Record: p.record,
			DialMS: milliseconds(p.carrier.PostDialDelay), AnswerMS: milliseconds(p.carrier.AnsweredAt.Sub(p.carrier.InvitedAt)),
			Lost: p.carrier.RTP.Lost + p.agent.RTP.Lost, Packets: p.carrier.RTP.Sent + p.agent.RTP.Sent,
		}
	}
	return result, err
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
