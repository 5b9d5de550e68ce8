package sim

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/google/uuid"
)

const maxAPIBody = 64 << 10

// apiHandler serves a request whose token, method and body were checked; the
// body is nil where the method has none.
type apiHandler func(w http.ResponseWriter, r *http.Request, body []byte)

// handler is the platform's HTTP API: prepare_inbound, and the account as the
// API reference has it (phone numbers, assistants, calls).
func (s *Synthflow) handler() http.Handler {
	mux := http.NewServeMux()
	for path, methods := range map[string]map[string]apiHandler{
		apiPath:                                {http.MethodPost: s.prepare},
		"/v2/custom-numbers":                   {http.MethodPost: s.answered(s.importNumber)},
		"/v2/numbers":                          {http.MethodGet: s.answered(s.listNumbers)},
		"/v2/numbers/{slug}":                   {http.MethodGet: s.answered(s.getNumber), http.MethodPatch: s.answered(s.patchNumber), http.MethodDelete: s.answered(s.deleteNumber)},
		"/v2/assistants":                       {http.MethodPost: s.answered(s.createAgent)},
		"/v2/assistants/{$}":                   {http.MethodGet: s.answered(s.listAgents)},
		"/v2/assistants/{model}":               {http.MethodGet: s.answered(s.getAgent), http.MethodPut: s.answered(s.changeAgent), http.MethodDelete: s.answered(s.deleteAgent)},
		"/v2/calls/{call}":                     {http.MethodGet: s.answered(s.getCall)},
		"/v2/assistants/{model}/phone_numbers": {http.MethodPut: s.answered(s.attachNumbers)},
		"/v2/assistants/{model}/phone_numbers/{slug}": {http.MethodDelete: s.answered(s.detachNumber)},
	} {
		mux.HandleFunc(path, s.checked(methods))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) { s.apiError(w, http.StatusNotFound, "no such path") })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.sip.enter() {
			s.apiError(w, http.StatusServiceUnavailable, "closing")
			return
		}
		defer s.sip.leave()
		mux.ServeHTTP(w, r)
	})
}

// checked lets a request to its handler that has a method of the path, the
// token and a body of JSON where the method has one, unless a fault is in the
// way.
func (s *Synthflow) checked(methods map[string]apiHandler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		serve := methods[r.Method]
		switch {
		case serve == nil:
			allow := strings.Join(slices.Sorted(maps.Keys(methods)), ", ")
			w.Header().Set("Allow", allow)
			s.apiError(w, http.StatusMethodNotAllowed, "use "+allow)
			return
		case !s.authorized(r):
			s.apiError(w, http.StatusUnauthorized, "missing or wrong bearer token")
			return
		}
		var body []byte
		if r.Method != http.MethodGet && r.Method != http.MethodDelete {
			var refused *apiRefusal
			if body, refused = readJSON(w, r); refused != nil {
				s.apiError(w, refused.code, refused.words)
				return
			}
		}
		if apiFault(w, r, s.Fault(), s.sip.ctx.Done(), s.apiError) {
			serve(w, r, body)
		}
	}
}

func (s *Synthflow) authorized(r *http.Request) bool {
	got, want := r.Header.Get("Authorization"), "Bearer "+s.opts.Token
	return subtle.ConstantTimeCompare([]byte(got), []byte(want)) == 1
}

// readJSON reads a body that says that it is JSON, up to its bound.
func readJSON(w http.ResponseWriter, r *http.Request) ([]byte, *apiRefusal) {
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return nil, &apiRefusal{http.StatusUnsupportedMediaType, "Content-Type must be application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAPIBody))
	if err != nil {
		return nil, &apiRefusal{http.StatusRequestEntityTooLarge, "body too large or cut short"}
	}
	return body, nil
}

// answered makes a handler of a function that gives an answer or refuses.
func (s *Synthflow) answered(f func(r *http.Request, body []byte) (any, *apiRefusal)) apiHandler {
	return func(w http.ResponseWriter, r *http.Request, body []byte) {
		out, refused := f(r, body)
		switch {
		case refused != nil:
			s.apiError(w, refused.code, refused.words)
		case s.Fault().Kind == FaultFailed: // done, and said not to be
			s.apiAnswer(w, map[string]any{"status": "failed", "response": nil})
		default:
			s.apiAnswer(w, out)
		}
	}
}

// members calls f at each value of the JSON object that comes next.
func members(dec *json.Decoder, f func(key string) error) error {
	start, err := dec.Token()
	if err != nil {
		return fmt.Errorf("json: %w", err)
	}
	if start != json.Delim('{') {
		return errors.New("want a JSON object")
	}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return fmt.Errorf("json: %w", err)
		}
		name, _ := key.(string)
		if err := f(name); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

func (s *Synthflow) apiAnswer(w http.ResponseWriter, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		s.apiError(w, http.StatusInternalServerError, "internal error")
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(body)
}

// apiError answers with one of the two envelopes that the platform has for
// errors: a region's, or the global gateway's.
func (s *Synthflow) apiError(w http.ResponseWriter, code int, words string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	category := strings.ReplaceAll(strings.ToLower(http.StatusText(code)), " ", "_")
	var envelope any = map[string]any{"detail": map[string]string{
		"status": "error", "description": words, "request_id": uuid.NewString(), "category": category,
	}}
	if s.opts.Account.Gateway {
		envelope = map[string]string{"error": category, "message": words}
	}
	body, _ := json.Marshal(envelope) // strings can be marshalled
	_, _ = w.Write(body)
}
