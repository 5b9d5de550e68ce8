package platform

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"flowbridge/platform/openai"
	"flowbridge/sim/internal/standin"
)

// Asks describes a webhook that is sent while an INVITE rings, and the API over which the call is accepted or
// rejected.
type Asks struct {
	Questions []Question // about one call, in order; the first decision counts
	TokenIn   string     // the header for the API's token; if empty, Authorization: Bearer is used
}

// Question is an event about a call, and the path in the API for the answer.
type Question struct {
	Event  string // type of the event
	Data   map[string]any
	ID     string // member of data that has the call's id
	Prefix string // prefix of the id
	Path   string // path of a call in the API, with {id}
	Accept standin.Shape
	In     string // member of an acceptance that has the session; if empty, the acceptance is the session
	Reject standin.Shape
}

// Webhook says where the question is sent.
type Webhook struct {
	URL    string // if empty, every call is accepted
	Secret string // DefaultWebhookSecret if empty
}

// DefaultWebhookSecret signs the question if the options have no secret.
const DefaultWebhookSecret = "whsec_c2ltLXdlYmhvb2stc2VjcmV0" //nolint:gosec // the stand-in's

const (
	askTries    = 3
	askPause    = 500 * time.Millisecond
	askTimeout  = 10 * time.Second
	askPatience = 20 * time.Second // time for the decision after the webhook was accepted
	maxAnswer   = 64 << 10
)

// verdict is the decision about a call. Status 0 accepts it.
type verdict struct {
	id      string // used in the request to the API
	status  int
	session standin.Object
}

// ask asks the owner of the project to decide about a ringing call.
func (c *call) ask(ctx context.Context) (code int, reason string) {
	p, unique := c.platform, strings.ReplaceAll(uuid.NewString(), "-", "")
	decided := make(chan verdict, 1)
	p.mu.Lock()
	for _, q := range p.of.Asks.Questions {
		p.undecided[q.Prefix+unique] = decided
	}
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.forget(decided)
	}()
	taken := false
	for _, q := range p.of.Asks.Questions {
		err := c.deliver(ctx, q, q.Prefix+unique)
		taken = taken || err == nil
		if err != nil {
			p.opts.Log.Warn().Err(err).Str("id", q.Prefix+unique).Msg("webhook not accepted")
		}
	}
	if !taken {
		return 480, "The webhook was not taken"
	}
	select {
	case v := <-decided:
		c.Update(func(seen *Call) { seen.ID, seen.Session = v.id, v.session })
		return v.status, "Rejected"
	case <-time.After(askPatience):
		return 480, "Nobody has accepted the call"
	case <-ctx.Done():
		return 487, "Request Terminated"
	}
}

// deliver sends the webhook until it is accepted.
func (c *call) deliver(ctx context.Context, q Question, id string) error {
	p, data := c.platform, maps.Clone(q.Data)
	if data == nil {
		data = map[string]any{}
	}
	headers := []map[string]string{}
	for _, line := range append([]string{"Call-ID: " + c.In.Seen().CallID}, c.In.Seen().Headers...) {
		name, value, _ := strings.Cut(line, ":")
		headers = append(headers, map[string]string{"name": strings.TrimSpace(name), "value": strings.TrimSpace(value)})
	}
	data[q.ID], data["sip_headers"] = id, headers
	body, err := json.Marshal(map[string]any{
		"object": "event", "id": "evt_" + id, "type": q.Event, "created_at": time.Now().Unix(), "data": data,
	})
	if err != nil {
		return err
	}
	answer, err := standin.Deliver(ctx, askTries, askPause, func(try int) (answer standin.Answer, err error) {
		header, err := openai.Sign(p.opts.Webhook.Secret, "wh_"+id, time.Now(), body)
		if err != nil {
			return answer, err
		}
		bounded, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		answer, err = standin.Post(bounded, p.opts.Webhook.URL, header, body, maxAnswer)
		p.opts.Log.Info().Str("id", id).Int("try", try).Int("status", answer.Status).Err(err).Msg("webhook sent")
		return answer, err
	})
	if err == nil && answer.OK() {
		return nil
	}
	return errors.Join(err, errors.New(strings.TrimSpace(string(answer.Body))))
}

// decide returns the route that receives the decision about a call.
func (p *Platform) decide(shape standin.Shape, of func(string, standin.Object) verdict) standin.Route {
	return standin.Route{Body: &shape, Do: func(r standin.Request) (any, *standin.Refusal) {
		p.mu.Lock()
		defer p.mu.Unlock()
		decided := p.undecided[r.PathValue("id")]
		if decided == nil {
			return nil, standin.Refuse(http.StatusNotFound, "there is no such call that rings")
		}
		p.forget(decided)
		decided <- of(r.PathValue("id"), r.Sent) // it has room for the one decision
		return standin.Object{}, nil
	}}
}

// forget removes the question about a call. The caller must hold the lock.
func (p *Platform) forget(decided chan<- verdict) {
	maps.DeleteFunc(p.undecided, func(_ string, d chan<- verdict) bool { return d == decided })
}

// decisions returns the routes for decisions.
func (p *Platform) decisions() map[string]standin.Route {
	routes := map[string]standin.Route{}
	for _, q := range p.of.Asks.Questions {
		routes["POST "+q.Path+"/accept"] = p.decide(q.Accept, func(id string, o standin.Object) verdict {
			if q.In != "" {
				o, _ = o[q.In].(map[string]any)
			}
			return verdict{id: id, session: o}
		})
		routes["POST "+q.Path+"/reject"] = p.decide(q.Reject, func(id string, o standin.Object) verdict {
			n, _ := o["status_code"].(json.Number)
			code, err := n.Int64()
			if err != nil {
				code = 603
			}
			return verdict{id: id, status: int(code)}
		})
	}
	return routes
}
