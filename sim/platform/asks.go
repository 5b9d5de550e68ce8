package platform

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"flowbridge/openai"
	"flowbridge/sim/internal/standin"
)

// Asks is a webhook that is asked while an INVITE rings, and that has the call accepted or rejected by the API.
type Asks struct {
	Event   string // type of the event
	Path    string // of a call in the API; it has {id}
	Session standin.Shape
	Reject  standin.Shape
}

// Webhook is where the question goes.
type Webhook struct {
	URL    string // empty: every call is taken as accepted
	Secret string // DefaultWebhookSecret if empty
}

// DefaultWebhookSecret signs the question unless the stand-in is told otherwise.
const DefaultWebhookSecret = "whsec_c2ltLXdlYmhvb2stc2VjcmV0" //nolint:gosec // the stand-in's

const (
	askTries    = 3
	askPause    = 500 * time.Millisecond
	askTimeout  = 10 * time.Second
	askPatience = 20 * time.Second // for the decision, after the webhook was taken
	maxAnswer   = 64 << 10
)

// verdict is what becomes of a call. Status 0: it is accepted.
type verdict struct {
	status  int
	session standin.Object
}

// ask has the owner of the project decide about a call that rings.
func (c *call) ask(ctx context.Context) (code int, reason string) {
	p, id := c.platform, "rtc_"+strings.ReplaceAll(uuid.NewString(), "-", "")
	decided := make(chan verdict, 1)
	p.mu.Lock()
	p.undecided[id] = decided
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.undecided, id)
	}()
	c.Update(func(seen *Call) { seen.ID = id })
	if err := c.deliver(ctx, id); err != nil {
		p.opts.Log.Warn().Err(err).Str("id", id).Msg("nobody takes the webhook")
		return 480, "The webhook was not taken"
	}
	select {
	case v := <-decided:
		c.Update(func(seen *Call) { seen.Session = v.session })
		return v.status, "Rejected"
	case <-time.After(askPatience):
		return 480, "Nobody has accepted the call"
	case <-ctx.Done():
		return 487, "Request Terminated"
	}
}

// deliver sends the webhook, again until it is taken.
func (c *call) deliver(ctx context.Context, id string) error {
	p := c.platform
	headers := []map[string]string{}
	for _, line := range append([]string{"Call-ID: " + c.In.Seen().CallID}, c.In.Seen().Headers...) {
		name, value, _ := strings.Cut(line, ":")
		headers = append(headers, map[string]string{"name": strings.TrimSpace(name), "value": strings.TrimSpace(value)})
	}
	body, err := json.Marshal(map[string]any{
		"object": "event", "id": "evt_" + id, "type": p.of.Asks.Event, "created_at": time.Now().Unix(),
		"data": map[string]any{"call_id": id, "sip_headers": headers},
	})
	if err != nil {
		return err
	}
	pause := askPause
	for try := 1; ; try++ {
		header, err := openai.Sign(p.opts.Webhook.Secret, "wh_"+id, time.Now(), body)
		if err != nil {
			return err
		}
		bounded, cancel := context.WithTimeout(ctx, askTimeout)
		answer, err := standin.Post(bounded, p.opts.Webhook.URL, header, body, maxAnswer)
		cancel()
		p.opts.Log.Info().Str("id", id).Int("try", try).Int("status", answer.Status).Err(err).Msg("webhook sent")
		switch {
		case answer.OK():
			return nil
		case try == askTries || ctx.Err() != nil:
			return errors.Join(err, errors.New(strings.TrimSpace(string(answer.Body))))
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
		pause *= 2
	}
}

// decide takes the decision about a call.
func (p *Platform) decide(shape standin.Shape, of func(standin.Object) verdict) standin.Route {
	return func(r *http.Request, body []byte) (any, *standin.Refusal) {
		object, err := standin.ParseObject(body)
		if err != nil {
			return nil, standin.Refuse(http.StatusBadRequest, "%v", err)
		}
		if wrong := shape.Wrong(object); len(wrong) > 0 {
			return nil, &standin.Refusal{Code: http.StatusBadRequest, Words: wrong}
		}
		p.mu.Lock()
		decided := p.undecided[r.PathValue("id")]
		p.mu.Unlock()
		if decided == nil {
			return nil, standin.Refuse(http.StatusNotFound, "there is no such call that rings")
		}
		select {
		case decided <- of(object):
			return standin.Object{}, nil
		default:
			return nil, standin.Refuse(http.StatusConflict, "the call was decided before")
		}
	}
}

// decisions are the routes of the API.
func (p *Platform) decisions() map[string]standin.Route {
	a := p.of.Asks
	return map[string]standin.Route{
		"POST " + a.Path + "/accept": p.decide(a.Session, func(o standin.Object) verdict { return verdict{session: o} }),
		"POST " + a.Path + "/reject": p.decide(a.Reject, func(o standin.Object) verdict {
			n, _ := o["status_code"].(json.Number)
			code, err := n.Int64()
			if err != nil {
				code = 603
			}
			return verdict{status: int(code)}
		}),
	}
}
