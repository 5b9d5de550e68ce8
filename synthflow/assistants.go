package synthflow

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"flowbridge/internal/rest"
)

const assistantsPath = "/v2/assistants"

// VoiceEngineVersion is the voice_engine_version that the documents on direct dialling require. The API reference does
// not mention it.
const VoiceEngineVersion = "2.0"

const voiceEngineKey = "voice_engine_version"

// assistantTypes returns the possible types of an agent.
func assistantTypes() []string { return []string{"inbound", "outbound", "widget"} }

// CheckAssistant says what is wrong with the body of a new agent, as far as that can be known without asking the API.
func CheckAssistant(body rest.Object) error {
	kind, _ := body.Text("type")
	name, _ := body.Text("name")
	switch _, hasAgent := body.Object("agent"); {
	case !slices.Contains(assistantTypes(), kind):
		return fmt.Errorf("type %q is none: write one of %s", kind, strings.Join(assistantTypes(), ", "))
	case strings.TrimSpace(name) == "":
		return errors.New("name is missing: agents are found by it")
	case !hasAgent:
		return errors.New(`agent is missing: it is an object with at least "prompt", "llm" and "language"`)
	}
	return nil
}

// Assistants are the agents of an account.
type Assistants struct{ *Account }

// Create creates an agent (POST /v2/assistants). If the API answers 400 and names voice_engine_version, Create repeats
// the request without it. The returned object has model_id, name and the voice_engine_version that was accepted. known
// has the ids of the existing agents.
func (a Assistants) Create(ctx context.Context, body rest.Object, known map[string]bool) (rest.Object, error) {
	r := rest.Request{Method: http.MethodPost, Path: assistantsPath, Body: body}
	e, err := a.call(ctx, r)
	if _, sent := body[voiceEngineKey]; sent && namesVoiceEngine(err) {
		r.Body = maps.Clone(body)
		delete(r.Body, voiceEngineKey)
		if e, err = a.call(ctx, r); err != nil {
			return nil, fmt.Errorf("without %s, which the API refused: %w", voiceEngineKey, err)
		}
	}
	if err != nil {
		return nil, err
	}
	id, err := e.modelID()
	switch {
	case err != nil:
		return nil, err
	case known[id]:
		return nil, e.unusable(fmt.Sprintf("the answer's model_id %s is that of an agent that was there before", id))
	}
	made := rest.Object{"model_id": id, "name": body["name"]}
	if v, kept := r.Body[voiceEngineKey]; kept {
		made[voiceEngineKey] = v
	}
	return made, nil
}

// namesVoiceEngine reports whether an error is a 400 (or 422, which the same API uses elsewhere) about
// voice_engine_version.
func namesVoiceEngine(err error) bool {
	var e *rest.Error
	return errors.As(err, &e) && (e.Status == http.StatusBadRequest || e.Status == http.StatusUnprocessableEntity) &&
		strings.Contains(e.Words, voiceEngineKey)
}

// modelID returns the id of the agent in an answer.
func (e *envelope) modelID() (string, error) {
	if e.response == nil {
		return "", e.unusable("the answer has no response")
	}
	id, ok := e.response.Text("model_id")
	if !ok {
		return "", e.unusable("the answer has no model_id")
	}
	if why := rest.BadID(id); why != "" {
		return "", e.unusable("the answer's model_id is no id: " + why)
	}
	return id, nil
}

// List returns all agents (GET /v2/assistants/).
func (a Assistants) List(ctx context.Context) ([]rest.Object, error) {
	return a.list(ctx, assistantsPath+"/", nil, "assistants", "model_id")
}

// Get returns one agent (GET /v2/assistants/{model_id}, which answers with a list of one).
func (a Assistants) Get(ctx context.Context, id string) (rest.Object, error) {
	e, err := a.call(ctx, rest.Request{Method: http.MethodGet, Path: a.assistantPath(id)})
	if err != nil {
		return nil, err
	}
	entries, _, err := readPage(e, "assistants")
	if err != nil && e.response != nil { // the response may also be the agent itself
		if _, ok := e.response.Text("model_id"); ok {
			entries, err = []rest.Object{e.response}, nil
		}
	}
	switch {
	case err != nil:
		return nil, e.unusable(err.Error())
	case len(entries) != 1:
		return nil, e.unusable(fmt.Sprintf("the answer has %d agents instead of one", len(entries)))
	}
	if got, _ := entries[0].Text("model_id"); got != id {
		return nil, e.unusable("the answer is about another agent")
	}
	return entries[0], nil
}

// Update changes the members in body (PUT /v2/assistants/{model_id}). Other members stay as they are.
func (a Assistants) Update(ctx context.Context, id string, body rest.Object) error {
	e, err := a.call(ctx, rest.Request{Method: http.MethodPut, Path: a.assistantPath(id), Body: body})
	if err != nil {
		return err
	}
	got, err := e.modelID()
	if err == nil && got != id {
		err = e.unusable("the answer is about another agent")
	}
	return err
}

// Delete removes an agent (DELETE /v2/assistants/{model_id}).
func (a Assistants) Delete(ctx context.Context, id string) error {
	return a.done(ctx, rest.Request{Method: http.MethodDelete, Path: a.assistantPath(id)})
}

func (a Assistants) assistantPath(id string) string { return assistantsPath + "/" + rest.Segment(id) }

// CompareAssistant returns the members of a body that differ in an agent returned by Assistants.Get.
func CompareAssistant(have, want rest.Object) []rest.Difference {
	return rest.Compare(sameNumber(have, want), want)
}
