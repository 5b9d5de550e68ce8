package synthflow

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"flowbridge/sim/internal/standin"
	"flowbridge/synthflow"
)

const (
	signature     = "Synthflow-Signature"
	tries         = 3
	firstPause    = 500 * time.Millisecond // before the second delivery; doubled each time
	hookTimeout   = 10 * time.Second
	maxHookAnswer = 64 << 10
	userAgent     = "synthflow-sim"
)

// Webhook says where webhooks are sent and how they are signed. Synthflow's documents do not mention retries, so the
// number of tries here is a guess. They call the signature's header HTTP_SYNTHFLOW_SIGNATURE, which is the CGI
// variable of the header Synthflow-Signature, so Synthflow-Signature is sent.
type Webhook struct {
	URL    string // URL for agents without external_webhook_url; empty means none
	Secret string // key of the signature, base64(HMAC-SHA256(secret, call_id)); empty means no signature
}

func (o Webhook) validate() error {
	if o.URL != "" && standin.IsURL(o.URL) != "" {
		return errors.New("webhook: want an http(s) URL")
	}
	return nil
}

// post sends JSON with the signature for the call.
func (c *call) post(ctx context.Context, to string, payload any) (standin.Answer, error) {
	body, err := json.Marshal(payload)
	if err != nil {
		return standin.Answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	header := http.Header{"User-Agent": {userAgent}}
	if o := c.platform.opts.Webhook; o.Secret != "" {
		header.Set(signature, synthflow.Sign(o.Secret, c.id()))
	}
	return standin.Post(ctx, to, header, body, maxHookAnswer)
}

// Over sends the webhook after a call, in the background.
func (c *call) Over() {
	to := cmp.Or(c.Seen().agent.Text("external_webhook_url"), c.platform.opts.Webhook.URL)
	if c.id() == "" || to == "" || !c.platform.Enter() {
		return
	}
	go func() {
		defer c.platform.Leave()
		c.deliver(to)
	}()
}

// deliver sends the webhook after a call until it gets a 2xx.
func (c *call) deliver(to string) {
	p, payload := c.platform, c.afterCall()
	_, _ = standin.Deliver(p.Context(), tries, firstPause, func(try int) (standin.Answer, error) {
		answer, err := c.post(p.Context(), to, payload)
		c.Update(func(seen *state) { seen.WebhookTries, seen.WebhookStatus = try, answer.Status })
		p.opts.Log.Info().Str("id", c.id()).Int("try", try).Int("status", answer.Status).Err(err).Msg("webhook sent")
		return answer, err
	})
}

// afterCall returns the body of the webhook after a call (webhooks page).
func (c *call) afterCall() map[string]any {
	a := c.Snapshot()
	reason, _, _ := a.reasons()
	return map[string]any{
		"status": a.status(), "error_message": "",
		"lead": map[string]any{"name": "", "phone_number": c.from, "prompt_variables": c.prepared()},
		"call": map[string]any{
			"status": a.status(), "end_call_reason": reason, "model_id": a.ModelID, "timezone": "Europe/Berlin",
			"call_id":  a.SynthflowID,
			"duration": a.spoken(), "start_time": a.InvitedAt.UTC().Format("2006-01-02T15:04:05.000Z07:00"),
			"transcript": "", "recording_url": "", "diversion": a.Diversion, "external_id": a.ExternalID,
		},
		"executed_actions": map[string]any{}, "analysis": map[string]any{},
	}
}
