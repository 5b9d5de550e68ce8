package synthflow

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
)

// inboundTries are the first request and the three more that the inbound
// webhook page promises.
const inboundTries = 4

// errDisconnect is an answer without an agent: the call ends.
var errDisconnect = errors.New("the inbound webhook gave no agent")

// reroute asks the inbound webhook which agent takes the call.
func (c *call) reroute(ctx context.Context) error {
	agent := c.takenBy()
	if agent.inbound == "" {
		return nil
	}
	payload := map[string]any{"event": "call_inbound", "call_inbound": map[string]string{
		"model_id": agent.id, "from_number": c.from, "to_number": c.to,
	}}
	for try := 1; ; try++ {
		answer, err := c.post(ctx, agent.inbound, payload)
		if err == nil && answer.OK() {
			return c.override(answer.Body)
		}
		c.platform.opts.Log.Info().Str("id", c.id()).Int("try", try).Int("status", answer.Status).Err(err).Msg("inbound webhook failed")
		if ctx.Err() != nil || try == inboundTries {
			return errors.New("the inbound webhook does not answer, and there is no default agent")
		}
	}
}

// override follows an answer of the inbound webhook.
func (c *call) override(body []byte) error {
	model, err := parseOverride(body)
	if err != nil || model == "" {
		return err
	}
	agent, known := c.platform.account.agent(model)
	if !known {
		return errors.New("override_model_id is no agent")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.agent, c.seen.ModelID = agent, model
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
