package vapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"time"

	"flowbridge/sim/internal/standin"
)

const (
	maxAnswer = 256 << 10
	// reportTimeout is the default of Server.timeoutSeconds in the API reference.
	reportTimeout = 20 * time.Second
)

// server is the customer's server, which receives the platform's messages.
type server struct {
	url, secret string
	headers     standin.Object
}

// serverOf returns the server of a number or an assistant: its member server, or serverUrl and serverUrlSecret from
// older pages. The url is empty if there is no server.
func serverOf(object standin.Object) server {
	part := object.Object("server")
	if part.Text("url") == "" {
		return server{url: object.Text("serverUrl"), secret: object.Text("serverUrlSecret"), headers: part.Object("headers")}
	}
	return server{part.Text("url"), part.Text("secret"), part.Object("headers")}
}

// message returns the body of a server message about a call.
func (c *call) message(kind string, more map[string]any) []byte {
	about := c.platform.callObject(c.Snapshot())
	m := map[string]any{
		"type": kind, "timestamp": time.Now().UnixMilli(), "call": about, "customer": about["customer"],
		"phoneNumber": withoutSecrets(c.number),
	}
	maps.Copy(m, more)
	body, err := json.Marshal(map[string]any{"message": m})
	if err != nil { // can't happen, because everything in it came from JSON
		return []byte("{}")
	}
	return body
}

// post sends a message and returns the body of the answer.
func (s server) post(ctx context.Context, body []byte) ([]byte, error) {
	header := http.Header{}
	if s.secret != "" {
		header.Set("X-Vapi-Secret", s.secret)
	}
	for name := range s.headers {
		header.Set(name, s.headers.Text(name))
	}
	answer, err := standin.Post(ctx, s.url, header, body, maxAnswer)
	if err == nil && !answer.OK() {
		err = fmt.Errorf("the server answered %d", answer.Status)
	}
	return answer.Body, err
}

// assistantRequest asks the server for the assistant. After an error, the platform ends the call with
// assistant-request-failed.
func (c *call) assistantRequest(ctx context.Context, to server) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.platform.opts.Limit)
	defer cancel()
	body := c.message("assistant-request", nil)
	c.Update(func(seen *Call) { seen.Asked = string(body) })
	raw, err := to.post(ctx, body)
	if err != nil {
		c.Update(func(seen *Call) { seen.Answer = err.Error() })
		return answer{}, err
	}
	c.Update(func(seen *Call) { seen.Answer = string(raw) })
	return parseAnswer(raw)
}

// answer is the answer to an assistant-request. Either one of its parts is set, or why says what is wrong.
type answer struct {
	assistantID string
	assistant   standin.Object
	overrides   standin.Object
	destination standin.Object
	words       string // the words of the error
	why         string // an EndedReason
}

// parseAnswer parses an answer. If it has members that exclude each other, the order of the API reference applies: an
// error comes first, then a destination, then assistants.
func parseAnswer(raw []byte) (answer, error) {
	body, err := standin.ParseObject(raw)
	if err != nil {
		return answer{}, errors.New("the answer is not a JSON object")
	}
	maps.DeleteFunc(body, func(_ string, v any) bool { return v == nil }) // null counts as absent
	a := answer{assistantID: body.Text("assistantId"), overrides: body.Object("assistantOverrides")}
	switch {
	case body.Has("error"):
		if body.Text("error") == "" {
			return answer{why: endedUnspeakable}, nil
		}
		return answer{words: body.Text("error")}, nil
	case body.Has("destination"):
		if isDestination(body["destination"]) == "" {
			return answer{destination: body.Object("destination")}, nil
		}
	case body.Has("assistantOverrides") && overrideShape.Check(body["assistantOverrides"]) != "":
	case body.Has("assistantId"):
		if a.assistantID != "" {
			return a, nil
		}
	case !body.Has("assistant"):
		return answer{why: endedNone}, nil
	case assistantShape.Check(body["assistant"]) == "":
		a.assistant = body.Object("assistant")
		return a, nil
	}
	return answer{why: endedInvalid}, nil
}

// Over reports the end of the call to the server (page "Server events", end-of-call-report).
func (c *call) Over() {
	seen := c.Snapshot()
	if seen.callback.url == "" {
		return
	}
	ctx, cancel := context.WithTimeout(c.platform.Context(), reportTimeout)
	defer cancel()
	body := c.message("end-of-call-report", map[string]any{"endedReason": seen.EndedReason, "artifact": map[string]any{}})
	if _, err := seen.callback.post(ctx, body); err != nil {
		c.platform.opts.Log.Warn().Err(err).Str("id", seen.ID).Msg("end-of-call-report not taken")
	}
}
