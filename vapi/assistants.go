package vapi

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"flowbridge/internal/rest"
)

// CheckAssistant says what is wrong with the body of a new assistant. The API wants no member at all, but by its name an
// assistant is found again.
func CheckAssistant(body Object) error {
	if name, _ := body.Text("name"); strings.TrimSpace(name) == "" {
		return errors.New("name is missing: assistants are found by it")
	}
	return nil
}

// CreateAssistant creates an assistant (POST /assistant). known are the ids of those that are there already.
func (a *Account) CreateAssistant(ctx context.Context, body Object, known map[string]bool) (Object, error) {
	return a.one(ctx, rest.Request{Method: http.MethodPost, Path: assistantsPath, Body: body}, "", known)
}

// ListAssistants gives all assistants, the newest first (GET /assistant).
func (a *Account) ListAssistants(ctx context.Context) ([]Object, error) {
	return a.list(ctx, assistantsPath)
}

// GetAssistant gives one assistant (GET /assistant/{id}).
func (a *Account) GetAssistant(ctx context.Context, id string) (Object, error) {
	return a.one(ctx, rest.Request{Method: http.MethodGet, Path: assistantsPath + "/" + rest.Segment(id)}, id, nil)
}

// UpdateAssistant changes the members that body has (PATCH /assistant/{id}).
func (a *Account) UpdateAssistant(ctx context.Context, id string, body Object) (Object, error) {
	return a.one(ctx, rest.Request{Method: http.MethodPatch, Path: assistantsPath + "/" + rest.Segment(id), Body: body}, id, nil)
}

// DeleteAssistant removes an assistant (DELETE /assistant/{id}) and gives what it was.
func (a *Account) DeleteAssistant(ctx context.Context, id string) (Object, error) {
	return a.one(ctx, rest.Request{Method: http.MethodDelete, Path: assistantsPath + "/" + rest.Segment(id)}, id, nil)
}
