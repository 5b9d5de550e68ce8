package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"time"

	"flowbridge/synthflow"
)

const (
	defaultSignature = "Synthflow-Signature"
	defaultTries     = 3
	maxTries         = 10
	defaultPause     = 500 * time.Millisecond
	hookTimeout      = 10 * time.Second
	maxHookAnswer    = 64 << 10
)

// SynthflowWebhook says how webhooks are sent. The documents leave the retries
// open, and spell the signature's header as a CGI variable.
type SynthflowWebhook struct {
	URL    string        // after a call whose agent has no external_webhook_url; none if empty
	Secret string        // of the signature, base64(HMAC-SHA256(secret, call_id)); none is sent if empty
	Header string        // that the signature is in, as it is on the wire; "Synthflow-Signature" if empty
	Tries  int           // deliveries until one gets a 2xx, 1 to 10; 3 if zero
	Pause  time.Duration // before the second delivery, then twice as long each time; 500ms if zero
}

var headerName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (o SynthflowWebhook) validate() error {
	switch {
	case o.URL != "" && !isHTTP(o.URL):
		return errors.New("webhook: want an http(s) URL")
	case o.Header != "" && !headerName.MatchString(o.Header):
		return fmt.Errorf("webhook: %q is no header's name", o.Header)
	case o.Tries < 0 || o.Tries > maxTries:
		return fmt.Errorf("webhook: %d deliveries: 1 to %d", o.Tries, maxTries)
	case o.Pause < 0:
		return errors.New("webhook: negative pause")
	}
	return nil
}

func (o SynthflowWebhook) withDefaults() SynthflowWebhook {
	if o.Header == "" {
		o.Header = defaultSignature
	}
	if o.Tries == 0 {
		o.Tries = defaultTries
	}
	if o.Pause == 0 {
		o.Pause = defaultPause
	}
	return o
}

// newAsker makes the client that webhooks and pre-actions are sent by. It keeps
// no connection, follows no redirect and knows no proxy.
func newAsker() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: maxHookAnswer},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ask sends a request and reads its answer, up to a bound. Errors do not name
// the URL, which may hold a secret.
func (s *Synthflow) ask(r *http.Request) (status int, body []byte, err error) {
	res, err := s.asker.Do(r)
	if err != nil {
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return 0, nil, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err = io.ReadAll(io.LimitReader(res.Body, maxHookAnswer+1))
	if len(body) > maxHookAnswer {
		err = fmt.Errorf("answer over %d bytes", maxHookAnswer)
	}
	return res.StatusCode, body, err
}

// post sends JSON with the signature of a call.
func (s *Synthflow) post(ctx context.Context, to, callID string, payload []byte) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, hookTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(payload))
	if err != nil {
		return 0, nil, errors.New("the webhook's URL can't be used")
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "synthflow-sim")
	if o := s.opts.Webhook; o.Secret != "" {
		r.Header[o.Header] = []string{synthflow.Sign(o.Secret, callID)} // byte for byte: Set would change the case
	}
	return s.ask(r)
}

// over sends the webhook after a call, which takes its time.
func (s *Synthflow) over(c *agentCall) {
	to := c.takenBy().webhook
	if to == "" {
		to = s.opts.Webhook.URL
	}
	if c.id == "" || to == "" || !s.sip.enter() {
		return
	}
	go func() {
		defer s.sip.leave()
		s.deliver(c, to)
	}()
}

// deliver sends the webhook after a call until somebody takes it.
func (s *Synthflow) deliver(c *agentCall, to string) {
	payload, err := json.Marshal(c.afterCall())
	if err != nil {
		s.opts.Log.Error().Err(err).Str("id", c.id).Msg("webhook not written")
		return
	}
	pause := s.opts.Webhook.Pause
	for try := 1; ; try++ {
		status, _, err := s.post(s.sip.ctx, to, c.id, payload)
		c.update(func(seen *AgentCall) { seen.WebhookTries, seen.WebhookStatus = try, status })
		s.opts.Log.Info().Str("id", c.id).Int("try", try).Int("status", status).Err(err).Msg("webhook sent")
		if status/100 == 2 || try == s.opts.Webhook.Tries {
			return
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-s.sip.ctx.Done():
			timer.Stop()
			return
		}
		pause *= 2
	}
}

// afterCall is the body of the webhook after a call (webhooks page).
func (c *agentCall) afterCall() map[string]any {
	a := c.snapshot()
	reason := "undefined"
	switch {
	case a.GotCancel:
		reason = "user_canceled"
	case a.EndedBy == SideCaller:
		reason = "human_goodbye"
	case a.EndedBy == SideAgent:
		reason = "agent_goodbye"
	}
	variables := map[string]any{}
	_ = json.Unmarshal(c.book.asked.variables, &variables) // an object, or absent
	return map[string]any{
		"status": a.status(), "error_message": "",
		"lead": map[string]any{"name": "", "phone_number": c.book.from, "prompt_variables": variables},
		"call": map[string]any{
			"status": a.status(), "end_call_reason": reason, "model_id": a.ModelID, "timezone": "Europe/Berlin", "call_id": c.id,
			"duration": a.spoken(), "start_time": a.InvitedAt.UTC().Format("2006-01-02T15:04:05.000Z07:00"), "transcript": c.transcript(a),
			"recording_url": "", "diversion": a.Diversion, "external_id": a.ExternalID,
		},
		"executed_actions": map[string]any{}, "analysis": map[string]any{},
	}
}
