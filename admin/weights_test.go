package admin

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestWeights: only a sender that may operate pins and releases weights, and only with a body that says which.
func TestWeights(t *testing.T) {
	opts, _ := fixture()
	opts.Access = func() Access {
		return Access{Tokens: []Token{{"ops", "operates-it", RightsOperate, false, 0}, {"desk", "only-reads-it", RightsRead, false, 0}}}
	}
	var orders []string
	opts.Weights = func(_ context.Context, route, by string, weights map[string]int) *RefusedError {
		if route != "main" {
			return &RefusedError{Status: http.StatusNotFound, Problem: "no route", Remedy: "take one"}
		}
		if weights == nil {
			orders = append(orders, by+" releases")
		} else {
			orders = append(orders, fmt.Sprintf("%s pins %v", by, weights))
		}
		return nil
	}
	many := map[string]int{}
	for i := range 10_000 {
		many[fmt.Sprintf(`"target-%d": 1`, i)] = 1
	}
	all := strings.Join(func() (l []string) {
		for m := range maps.Keys(many) {
			l = append(l, m)
		}
		return l
	}(), ", ")
	for _, c := range []struct {
		method, route, token, body string
		status                     int
		want                       string
	}{
		{"POST", "main", "operates-it", `{"weights": {"a": 70, "b": 30}}`, 200, `"pinned":true`},
		{"DELETE", "main", "operates-it", "", 200, `"pinned":false`},
		{"POST", "main", "only-reads-it", `{"weights": {"a": 70}}`, 403, "operate"},
		{"DELETE", "main", "only-reads-it", "", 403, "operate"},
		{"POST", "main", "another", `{"weights": {"a": 70}}`, 401, "token"},
		{"GET", "main", "operates-it", "", 405, "use POST"},
		{"POST", "none", "operates-it", `{"weights": {"a": 70}}`, 404, "no route"},
		{"POST", "main", "operates-it", ``, 400, "the body is empty"},
		{"POST", "main", "operates-it", `{}`, 400, "the body has no weights"},
		{"POST", "main", "operates-it", `{"weights": null}`, 400, "the body has no weights"},
		{"POST", "main", "operates-it", `{"weights": {}}`, 400, "the body has no weights"},
		{"POST", "main", "operates-it", `{"weights": {"a": 0.5}}`, 400, "can't be"},
		{"POST", "main", "operates-it", `{"weights": {"a": "70"}}`, 400, "can't be"},
		{"POST", "main", "operates-it", `{"weights": {"a": 1e400}}`, 400, "can't be"},
		{"POST", "main", "operates-it", `{"weight": {"a": 70}}`, 400, "weight"},
		{"POST", "main", "operates-it", `{"weights": {` + all + `}}`, 413, "longer than"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), c.method, "http://127.0.0.1:8080/api/routes/"+c.route+"/weights", strings.NewReader(c.body))
		r.RemoteAddr = "127.0.0.1:4000"
		r.Header.Set("Authorization", "Bearer "+c.token)
		w := httptest.NewRecorder()
		New(opts).ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s as %s, %.40s: got %d %.200s; want %d %s", c.method, c.route, c.token, c.body, w.Code, w.Body, c.status, c.want)
		}
	}
	if got := strings.Join(orders, ", "); got != "ops pins map[a:70 b:30], ops releases" {
		t.Errorf("orders: %s", got)
	}
}
