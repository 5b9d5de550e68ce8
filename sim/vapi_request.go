package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"
)

const (
	maxVapiAnswer = 256 << 10
	// reportTimeout is what the API reference has as the default of
	// Server.timeoutSeconds.
	reportTimeout = 20 * time.Second
)

// vapiServer is where the platform sends its messages.
type vapiServer struct {
	url, secret string
	headers     map[string]any
}

// serverOf is the server of a number or an assistant: server, or serverUrl and
// serverUrlSecret as older pages have it. The url is empty where there is none.
func serverOf(object map[string]any) vapiServer {
	var s vapiServer
	if part, ok := object["server"].(map[string]any); ok {
		s.url, _ = part["url"].(string)
		s.secret, _ = part["secret"].(string)
		s.headers, _ = part["headers"].(map[string]any)
	}
	if s.url == "" {
		s.url, _ = object["serverUrl"].(string)
		s.secret, _ = object["serverUrlSecret"].(string)
	}
	return s
}

// message is the body of a server message about a call.
func (v *Vapi) message(c *agentCall, kind string, more map[string]any) []byte {
	call := vapiSnapshot(c)
	m := map[string]any{
		"type": kind, "timestamp": time.Now().UnixMilli(),
		"call": v.callObject(call), "customer": v.callObject(call)["customer"],
		"phoneNumber": withoutSecrets(c.line.members),
	}
	maps.Copy(m, more)
	body, err := json.Marshal(map[string]any{"message": m})
	if err != nil { // cannot be: all of it came from JSON
		return []byte("{}")
	}
	return body
}

// post sends a message and gives the answer's body.
func (v *Vapi) post(ctx context.Context, to vapiServer, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the server URL cannot be posted to")
	}
	req.Header.Set("Content-Type", "application/json")
	if to.secret != "" {
		req.Header.Set("X-Vapi-Secret", to.secret)
	}
	for name, value := range to.headers {
		if text, ok := value.(string); ok {
			req.Header.Set(name, text)
		}
	}
	res, err := v.client.Do(req)
	if err != nil {
		return nil, ofRequest(err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxVapiAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the answer broke off: %w", ofRequest(err))
	case len(answer) > maxVapiAnswer:
		return nil, fmt.Errorf("the answer has more than %d bytes", maxVapiAnswer)
	case res.StatusCode < 200 || res.StatusCode > 299:
		return nil, fmt.Errorf("the server answered %d", res.StatusCode)
	}
	return answer, nil
}

// ofRequest leaves the URL out of an error, which may have a token in it.
func ofRequest(err error) error {
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer within the time")
	}
	return err
}

// assistantRequest asks the server whose call this is. An error is what the
// platform calls assistant-request-failed.
func (v *Vapi) assistantRequest(ctx context.Context, c *agentCall, to vapiServer) (vapiAnswer, error) {
	ctx, cancel := context.WithTimeout(ctx, v.opts.Limit)
	defer cancel()
	body := v.message(c, "assistant-request", nil)
	c.updateVapi(func(d *VapiCall) { d.Asked = string(body) })
	raw, err := v.post(ctx, to, body)
	if err != nil {
		c.updateVapi(func(d *VapiCall) { d.Answer = err.Error() })
		return vapiAnswer{}, err
	}
	c.updateVapi(func(d *VapiCall) { d.Answer = string(raw) })
	return parseVapiAnswer(raw)
}

// vapiAnswer is the answer to an assistant-request. One of its parts is set,
// or why says what is wrong with it.
type vapiAnswer struct {
	assistantID string
	assistant   map[string]any
	overrides   map[string]any
	destination map[string]any
	words       string // of an error
	why         string // an EndedReason
}

// parseVapiAnswer keeps to the order in which the API reference has the
// members ignore each other: an error counts most, then a destination, then
// assistants.
func parseVapiAnswer(raw []byte) (vapiAnswer, error) {
	body, err := jsonObject(raw)
	if err != nil {
		return vapiAnswer{}, errors.New("the answer is no JSON object")
	}
	for name, value := range body { // null is as good as nothing
		if value == nil {
			delete(body, name)
		}
	}
	var a vapiAnswer
	if words, given := body["error"]; given {
		if a.words, _ = words.(string); a.words == "" {
			a.why = endedUnspeakable
		}
		return a, nil
	}
	if destination, given := body["destination"]; given {
		if isDestination(destination) != "" {
			return vapiAnswer{why: endedInvalid}, nil
		}
		a.destination, _ = destination.(map[string]any)
		return a, nil
	}
	if overrides, given := body["assistantOverrides"]; given {
		if a.overrides, _ = overrides.(map[string]any); a.overrides == nil || len(overrideFields.wrong(a.overrides)) > 0 {
			return vapiAnswer{why: endedInvalid}, nil
		}
	}
	id, hasID := body["assistantId"]
	assistant, hasOne := body["assistant"]
	switch {
	case hasID:
		if a.assistantID, _ = id.(string); a.assistantID == "" {
			return vapiAnswer{why: endedInvalid}, nil
		}
	case hasOne:
		if a.assistant, _ = assistant.(map[string]any); a.assistant == nil || len(assistantFields.wrong(a.assistant)) > 0 {
			return vapiAnswer{why: endedInvalid}, nil
		}
	default:
		return vapiAnswer{why: endedNone}, nil
	}
	return a, nil
}

// over tells the server that the call has ended, as the platform does by
// default (its page "Server events", end-of-call-report).
func (v *Vapi) over(c *agentCall) {
	d := vapiSnapshot(c)
	if d.callback.url == "" {
		return
	}
	ctx, cancel := context.WithTimeout(v.sip.ctx, reportTimeout)
	defer cancel()
	body := v.message(c, "end-of-call-report", map[string]any{"endedReason": d.EndedReason, "artifact": map[string]any{}})
	if _, err := v.post(ctx, d.callback, body); err != nil {
		v.log.Warn().Err(err).Str("id", d.ID).Msg("end-of-call-report not taken")
	}
}
