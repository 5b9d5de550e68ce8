package admin

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"sync"

	"go.yaml.in/yaml/v3"
)

// description is the API in OpenAPI 3.1. TestOpenAPI compares it with the routes.
//
//go:embed openapi.yaml
var description []byte

// described is the description as JSON.
var described = sync.OnceValues(func() (json.RawMessage, error) {
	var doc map[string]any
	if err := yaml.Unmarshal(description, &doc); err != nil {
		return nil, err
	}
	return json.Marshal(doc)
})

// openapi serves the description.
func (a *api) openapi(w http.ResponseWriter, r *http.Request) {
	doc, err := described()
	if err != nil {
		a.Log.Error().Err(err).Msg("the API's description can't be read")
		a.fail(w, http.StatusInternalServerError, "the description can't be read", "see the log")
		return
	}
	a.write(w, http.StatusOK, doc)
}

// router is a ServeMux that remembers its patterns.
type router struct {
	*http.ServeMux

	patterns []string
}

// HandleFunc adds a route.
func (r *router) HandleFunc(pattern string, handler http.HandlerFunc) {
	r.patterns = append(r.patterns, pattern)
	r.ServeMux.HandleFunc(pattern, handler)
}

// Handle adds a route.
func (r *router) Handle(pattern string, handler http.Handler) {
	r.HandleFunc(pattern, handler.ServeHTTP)
}
