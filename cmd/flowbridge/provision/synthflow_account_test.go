package provision

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"flowbridge/internal/rest"
)

const (
	accountToken  = "tok-3b7e91"
	trunkPassword = "dflkvn23REFD#@"
)

// synthflowAccount is an account at Synthflow: what it takes is held to the API reference.
type synthflowAccount struct {
	t       *testing.T
	url     string
	numbers map[string]rest.Object // by slug
	agents  []rest.Object
	got     []string                    // "METHOD path"
	answer  func(request string) string // an answer in the place of its own; empty: none
}

func newSynthflowAccount(t *testing.T) *synthflowAccount {
	t.Helper()
	a := &synthflowAccount{t: t, numbers: map[string]rest.Object{}}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	a.url = s.URL
	t.Setenv("SYNTHFLOW_TOKEN", accountToken)
	return a
}

// run runs a command of `flowbridge synthflow` against the account. No secret may be in what it prints.
func (a *synthflowAccount) run(args ...string) (string, int) {
	a.t.Helper()
	args = append([]string{"synthflow"}, append(args, "--api", a.url)...)
	out, code := run(a.t, args...)
	for _, secret := range []string{accountToken, trunkPassword} {
		if strings.Contains(out, secret) {
			a.t.Errorf("%q is in the output of %v:\n%s", secret, args, out)
		}
	}
	return out, code
}

func (a *synthflowAccount) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	request := r.Method + " " + r.URL.Path
	a.got = append(a.got, request)
	data, err := io.ReadAll(r.Body)
	if err != nil || r.Header.Get("Authorization") != "Bearer "+accountToken || len(data) > 0 && r.Header.Get("Content-Type") != "application/json" {
		a.t.Errorf("%s: %v, headers %v", request, err, r.Header)
	}
	var body rest.Object
	if len(data) > 0 {
		if body, err = rest.ParseObject(data); err != nil {
			a.t.Errorf("%s: body %s: %v", request, data, err)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	if a.answer != nil {
		if text := a.answer(request); text != "" {
			_, _ = io.WriteString(w, text)
			return
		}
	}
	status, answer := a.serve(r, body)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(answer)
}

type object = map[string]any

func refusal(words string) object {
	return object{"detail": object{"status": "error", "description": words, "request_id": "r-1", "category": "validation"}}
}

func (a *synthflowAccount) serve(r *http.Request, body rest.Object) (int, any) {
	numbers, ofNumbers := strings.CutPrefix(r.URL.Path, "/v2/numbers")
	agents, ofAgents := strings.CutPrefix(r.URL.Path, "/v2/assistants")
	switch {
	case r.Method == http.MethodPost && r.URL.Path == "/v2/custom-numbers":
		return a.importNumber(body)
	case ofNumbers && numbers == "" && r.Method == http.MethodGet:
		return 200, page(r, "phone_numbers", a.listed())
	case ofNumbers:
		return a.number(r, strings.TrimPrefix(numbers, "/"), body)
	case ofAgents && agents == "" && r.Method == http.MethodPost:
		return a.createAgent(body)
	case ofAgents && agents == "/" && r.Method == http.MethodGet:
		return 200, page(r, "assistants", a.agents)
	case ofAgents:
		return a.agent(r, strings.TrimPrefix(agents, "/"), body)
	}
	return 404, object{"detail": "Not Found"}
}

func page(r *http.Request, key string, all []rest.Object) object {
	var offset, limit int
	_, _ = fmt.Sscan(r.URL.Query().Get("offset"), &offset)
	_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
	some := all[min(offset, len(all)):min(offset+limit, len(all))]
	return object{"status": "ok", "response": object{
		"pagination": object{"total_records": len(all), "limit": limit, "offset": offset}, key: append([]rest.Object{}, some...),
	}}
}

func (a *synthflowAccount) listed() (all []rest.Object) {
	for slug := range a.numbers {
		all = append(all, rest.Object{"number": "+" + slug, "sid": nil, "is_available": len(a.boundTo("+"+slug)) == 0})
	}
	slices.SortFunc(all, func(x, y rest.Object) int { return strings.Compare(x["number"].(string), y["number"].(string)) })
	return all
}

func (a *synthflowAccount) boundTo(number string) (ids []string) {
	for _, agent := range a.agents {
		if agent["phone_number"] == number {
			ids = append(ids, agent["model_id"].(string))
		}
	}
	return ids
}

func (a *synthflowAccount) importNumber(body rest.Object) (int, any) {
	number, _ := body.Text("phone_number")
	slug := strings.TrimPrefix(number, "+")
	switch {
	case body["workspace_id"] != "W":
		return 403, refusal("workspace not yours")
	case body["provider_name"] == "custom" && body["termination_uri"] == nil:
		return 400, refusal("termination_uri is required for provider custom")
	case body["trunk_pwd"] == "bad":
		return 400, refusal("trunk_pwd " + trunkPassword + " is too weak")
	case a.numbers[slug] != nil:
		return 400, refusal("number exists")
	}
	n := rest.Object{"slug": slug, "phone_number": number, "sip_term_uri": body["termination_uri"], "friendly_name": body["friendly_name"], "trunk_pwd": trunkPassword}
	a.numbers[slug] = n
	return 200, object{"status": "success", "response": object{"key": "8c2d1f60", "phone_number": number}}
}

func (a *synthflowAccount) number(r *http.Request, slug string, body rest.Object) (int, any) {
	n := a.numbers[slug]
	if n == nil {
		return 404, refusal("no such number")
	}
	switch r.Method {
	case http.MethodGet:
		if r.URL.Query().Get("workspace") != "W" {
			return 400, refusal("workspace is required")
		}
		return 200, n
	case http.MethodPatch:
		for k, v := range body {
			if k == "termination_uri" {
				k = "sip_term_uri"
			}
			n[k] = v
		}
	case http.MethodDelete:
		delete(a.numbers, slug)
	}
	return 200, object{"status": "success"}
}

func (a *synthflowAccount) createAgent(body rest.Object) (int, any) {
	number, bound := body.Text("phone_number")
	switch {
	case bound && a.numbers[strings.TrimPrefix(number, "+")] == nil:
		return 400, refusal("phone_number is not in this workspace")
	case bound && len(a.boundTo(number)) > 0:
		return 400, refusal("phone_number has an agent")
	case body["type"] == nil || body["name"] == nil || body["agent"] == nil:
		return 422, object{"detail": []any{object{"loc": []any{"body"}, "msg": "field required"}}}
	}
	agent := rest.Object{}
	maps.Copy(agent, body)
	id := fmt.Sprintf("17442741572%02dx646200691892837600", len(a.agents)+1)
	agent["model_id"] = id
	delete(agent, "voice_engine_version")
	a.agents = append(a.agents, agent)
	return 200, object{"status": "success", "response": object{"model_id": id}, "details": object{"phone": number}}
}

func (a *synthflowAccount) agent(r *http.Request, path string, body rest.Object) (int, any) {
	id, numbers := strings.CutSuffix(path, "/phone_numbers")
	at := slices.IndexFunc(a.agents, func(x rest.Object) bool { return x["model_id"] == id })
	if at < 0 {
		return 404, refusal("no such agent")
	}
	switch {
	case numbers:
		a.agents[at]["attached_phone_numbers"] = body["phone_numbers"]
		return 200, object{"status": "success"}
	case r.Method == http.MethodPut:
		for k, v := range body {
			if in, ok := v.(map[string]any); ok && k == "agent" {
				maps.Copy(a.agents[at]["agent"].(map[string]any), in)
				continue
			}
			a.agents[at][k] = v
		}
		return 200, object{"status": "success", "response": object{"model_id": id}}
	case r.Method == http.MethodDelete:
		a.agents = slices.Delete(a.agents, at, at+1)
		return 200, object{"status": "success", "response": object{"answer": "deleted"}}
	}
	return 200, object{"status": "success", "response": object{"assistants": []any{a.agents[at]}}}
}
