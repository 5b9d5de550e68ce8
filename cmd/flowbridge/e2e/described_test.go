//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"sync"

	"flowbridge/internal/openapitest"
)

// described is the API's description, as served by the first server that is asked.
var described struct {
	sync.Mutex
	spec *openapitest.Spec
}

// fits checks an answer of the admin API against the API's description.
func (s *server) fits(res *http.Response, body []byte) {
	s.t.Helper()
	described.Lock()
	defer described.Unlock()
	if described.spec == nil {
		doc, err := client.Get(s.admin + "/api/openapi.json")
		must(s.t, err)
		defer doc.Body.Close()
		text, err := io.ReadAll(doc.Body)
		if err == nil {
			described.spec, err = openapitest.Load(text)
		}
		if err != nil {
			s.t.Fatalf("/api/openapi.json: %s: %v", doc.Status, err)
		}
	}
	if err := described.spec.Answer(res.Request.Method, res.Request.URL.Path, res.StatusCode, res.Header.Get("Content-Type"), body); err != nil {
		s.t.Errorf("%s does not fit the description: %v", res.Request.URL, err)
	}
}
