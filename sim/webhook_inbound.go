package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// inboundTries are the first request and the three more that the inbound
// webhook page promises.
const inboundTries = 4

// errDisconnect is an answer without an agent: the call ends.
var errDisconnect = errors.New("the inbound webhook gave no agent")

// reroute asks the inbound webhook which agent takes the call.
func (s *Synthflow) reroute(ctx context.Context, c *agentCall) error {
	agent := c.takenBy()
	if agent.inbound == "" {
		return nil
	}
	payload, err := json.Marshal(map[string]any{"event": "call_inbound", "call_inbound": map[string]string{
		"model_id": agent.id, "from_number": c.book.from, "to_number": c.book.to,
	}})
	if err != nil {
		return fmt.Errorf("inbound webhook: %w", err)
	}
	for try := 1; ; try++ {
		status, body, err := s.post(ctx, agent.inbound, c.id, payload)
		if err == nil && status/100 == 2 {
			return s.override(c, body)
		}
		s.opts.Log.Info().Str("id", c.id).Int("try", try).Int("status", status).Err(err).Msg("inbound webhook failed")
		if ctx.Err() != nil || try == inboundTries {
			return errors.New("the inbound webhook does not answer, and there is no default agent")
		}
	}
}

// override follows an answer of the inbound webhook.
func (s *Synthflow) override(c *agentCall, body []byte) error {
	model, err := parseOverride(body)
	if err != nil || model == "" {
		return err
	}
	agent, known := s.account.agent(model)
	if !known {
		return fmt.Errorf("override_model_id is no agent")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.book.agent, c.seen.ModelID = agent, model
	return nil
}

// parseOverride reads {"call_inbound":{"override_model_id":"…"}}: an id, or ""
// for the agent that has the call. An object without it ends the call.
func parseOverride(body []byte) (string, error) {
	var answer struct {
		Inbound *struct {
			Model *string `json:"override_model_id"`
		} `json:"call_inbound"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if err := dec.Decode(&answer); err != nil {
		return "", errors.New("the inbound webhook's answer is not the JSON that is documented")
	}
	if answer.Inbound == nil || answer.Inbound.Model == nil {
		return "", errDisconnect
	}
	return *answer.Inbound.Model, nil
}
