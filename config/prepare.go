package config

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"time"

	"flowbridge/config/template"
)

// Prepare is the section `prepare` of a target.
type Prepare struct {
	// Kind synthflow: the base URL of the platform's HTTP API. Default: the region's, or https://api.synthflow.ai without
	// one.
	API string `key:"api" is:"api"`
	// The token. It is sent as Authorization: Bearer, unless token_header says otherwise. Kind synthflow requires it.
	Token Secret `key:"token" env:"" later:""`
	// Kind synthflow: the workspace, sent as workspace_id.
	WorkspaceID *template.Template `key:"workspace_id" use:"prepare"`
	// Kind synthflow: the agent that takes the call, sent as model_id.
	ModelID *template.Template `key:"model_id" use:"prepare"`
	// Kind synthflow: the lead's number, sent as from_number.
	FromNumber *template.Template `key:"from_number" use:"prepare" default:"{{.Lead.Number}}"`
	// Kind synthflow: the agent's number, sent as to_number.
	ToNumber *template.Template `key:"to_number" use:"prepare" default:"{{.Agent.Number}}"`
	// Kind synthflow: variables, sent as custom_variables in this order.
	CustomVariables []variable `key:"custom_variables" use:"prepare"`
	// Kind http: the method of the request.
	Method string `key:"method" enum:"POST PUT PATCH GET" default:"POST"`
	// Kind http: the URL. Path and query may hold templates, whose values are escaped. Redirects are not followed.
	URL *template.URL `key:"url" later:""`
	// Kind http: the header that has only the token, instead of Authorization: Bearer.
	TokenHeader string `key:"token_header" is:"header-name"`
	// Kind http: further headers of the request. One whose template is empty is left out.
	Headers []Header `key:"headers" later:""`
	// Kind http: the JSON object that is sent, written as YAML. Each text is a template. Without it there is no body.
	Body *jsonBody `key:"body" use:"prepare"`
	// Kind http: what the answer must have, besides a 2xx and JSON.
	Success success `key:"success"`
	// Kind http: the path of the platform's call id in the answer (call.id, calls.0.id), for .Prepare.CallID. Empty: none.
	ID string `key:"id" is:"json-path"`
	// Kind http: a sample answer for check and explain. Default: an object with just success and id.
	Example json.RawMessage `key:"example"`
	// How long the step may take, including one retry. An answer over 1 MiB is not used.
	Timeout time.Duration `key:"timeout" default:"3s" knob:""`
	// What happens if the step fails: next (the next target is tried) or dial (this one is dialled without an id).
	OnFailure string `key:"on_failure" enum:"next dial" default:"next"`

	kind   string
	answer Answer
	order  *Prepare // kind websocket with a request of its own: what follows it, a call's order at the gateway
}

// success is the section `success` of prepare.
type success struct {
	// The members that the answer must have, by JSON path, and their values: texts, numbers, true or false.
	JSON []Member `key:"json"`
}

// Member is a value that an answer must have at a path.
type Member struct {
	// Path is a path in the form of PrepareVars.JSON.
	Path string
	// Value is a string, a json.Number or a bool.
	Value any
}

// Answer says which answers of a prepare step are a success, and where they have the id.
type Answer struct {
	// Members must be present in the answer.
	Members []Member
	// ID is the path of the platform's id. It is empty if there is none.
	ID string
	// Within is the member that may wrap the answer. It is empty if there is none.
	Within string
}

// String describes the answer for people.
func (a *Answer) String() string {
	words := []string{"any 2xx"}
	for _, m := range a.Members {
		value, _ := json.Marshal(m.Value)
		words = append(words, fmt.Sprintf("%s is %s", m.Path, value))
	}
	if a.ID != "" {
		words = append(words, "and the id in "+a.ID)
	}
	return strings.Join(words, ", ")
}

// The values of targets[].prepare.on_failure.
const (
	onFailureNext = "next"
	OnFailureDial = "dial"
)

// synthflowPath is the path of Synthflow's prepare step below its API.
const synthflowPath = "/v2/prepare_inbound"

// variable is a name and the template of its value.
type variable struct {
	// Name is the variable's name.
	Name string
	// Value is the template of its value.
	Value *template.Template
}

// The keys that exist for only one kind of target.
var (
	synthflowKeys = []string{
		"api", "workspace_id", "model_id", "from_number", "to_number",
		"custom_variables",
	} //nolint:gochecknoglobals // a table
	httpKeys = []string{
		"method", "url", "token_header", "headers", "body", "success", "id",
		"example",
	} //nolint:gochecknoglobals // a table
)

// prepare reads the section prepare.
func (s section) prepare(kind string) *Prepare {
	v, ok := s.fields["prepare"]
	if !ok {
		if kind == KindHTTP && !s.broken {
			s.require("prepare", `the request, like prepare: {url: "https://api.example.com/calls", id: call_id}; or write kind: sip`)
		}
		return nil
	}
	p := Prepare{kind: kind}
	sub := v.section(reflect.TypeFor[Prepare]())
	sub.read(reflect.ValueOf(&p).Elem())
	p.URL = sub.urlTemplate("url")
	switch kind {
	case KindSynthflow:
		sub.onlyFor(KindHTTP, httpKeys)
		p.Token = sub.secret("token")
	case KindHTTP:
		sub.onlyFor(KindSynthflow, synthflowKeys)
		p.overHTTP(sub)
	case KindWebsocket:
		p.kind = KindHTTP
		sub.onlyFor(KindSynthflow, synthflowKeys)
		p.overHTTP(sub)
		if p.OnFailure == OnFailureDial {
			sub.fields["on_failure"].fail("is dial, and a bot can't be called without the answer", "write next, or remove it")
		}
	case "": // which is reported with its other keys
	default:
		v.fail("is for kinds synthflow, http and websocket only", "remove it, or write one of these kinds")
	}
	return &p
}

// onlyFor reports keys that are for another kind.
func (s section) onlyFor(kind string, keys []string) {
	for _, key := range keys {
		if v, ok := s.fields[key]; ok {
			v.fail("is for kind "+kind+" only", "remove it, or write kind: "+kind)
		}
	}
}

// overHTTP reads the keys of kind http that depend on other keys.
func (p *Prepare) overHTTP(s section) {
	s.require("url", `where the request goes, like "https://api.example.com/calls"`)
	if s.hasToken() {
		p.Token = s.secret("token")
	}
	if p.TokenHeader != "" && !s.hasToken() {
		s.fields["token_header"].fail("has no token to carry", "write token_file or token_env, or remove it")
	}
	p.Headers = s.requestHeaders(p)
	if p.Method == http.MethodGet && p.Body != nil {
		s.fields["body"].fail("has no place in a GET", "write method: POST, or put the values into the url's query")
	}
	p.answer = Answer{Members: p.Success.JSON, ID: p.ID}
}

// requestHeaders reads the headers of the request.
func (s section) requestHeaders(p *Prepare) []Header {
	return s.headerLines(templateUse{without: ownStep}, func(key string) complaint {
		name := http.CanonicalHeaderKey(key)
		switch {
		case !httpToken.MatchString(key):
			return refuse("is not the name of a header", "write one like X-Api-Version")
		case slices.Contains(ownRequestHeaders(), name), name == "Authorization" && s.hasToken() && p.TokenHeader == "",
			p.TokenHeader != "" && strings.EqualFold(key, p.TokenHeader):
			return refuse("is set by Flowbridge itself", "remove it")
		}
		return complaint{}
	})
}

func (s section) hasToken() bool { return s.has("token_file") || s.has("token_env") }

// ownRequestHeaders returns the headers that are determined by the form of a request, its connection or the call's
// trace.
func ownRequestHeaders() []string {
	return []string{
		"Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Expect", "Host",
		"Idempotency-Key",
		"Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Te", "Traceparent", "Trailer", "Transfer-Encoding",
		"Upgrade", "User-Agent",
	}
}

// members reads a mapping of JSON paths to values.
func (s section) members(key string) (all []Member) {
	for _, e := range s.entriesOf(key) {
		if _, c := parseJSONPath(e.key); !c.none() {
			e.l.fail(e.line, e.path, c.problem, c.remedy)
			continue
		}
		sc, ok := e.scalar()
		if !ok {
			continue
		}
		got := Member{Path: e.key}
		if got.Value, ok = sc.literal(); !ok || got.Value == nil {
			sc.complain(refuse("is not a value that an answer can be compared with",
				"write a text, a whole number, true or false"))
			continue
		}
		all = append(all, got)
	}
	return all
}

// Answer returns the conditions for a successful answer.
func (p *Prepare) Answer() *Answer { return &p.answer }

// Origin returns the origin of the step's requests, like https://api.example.com.
func (p *Prepare) Origin() string {
	if p.URL != nil {
		return p.URL.Origin()
	}
	return p.API
}

// synthflow builds the request of a target of kind synthflow.
func (p *Prepare) synthflow() {
	at, err := template.ParseURL(strings.TrimSuffix(strings.TrimRight(p.API, "/"), "/v2") + synthflowPath)
	if err != nil { // the API is not valid, which has been reported
		return
	}
	p.URL = at
	p.answer = Answer{Members: []Member{{"call_status", "registered"}}, ID: "synthflow_call_id", Within: "response"}
	custom := part{object: true}
	for _, v := range p.CustomVariables {
		custom.members = append(custom.members,
			bodyMember{v.Name, part{path: "prepare.custom_variables." + v.Name, text: v.Value}})
	}
	p.Body = &jsonBody{part{object: true, members: []bodyMember{
		{"from_number", part{path: "prepare.from_number", text: p.FromNumber}},
		{"to_number", part{path: "prepare.to_number", text: p.ToNumber}},
		{"model_id", part{path: "prepare.model_id", text: p.ModelID}},
		{"workspace_id", part{path: "prepare.workspace_id", text: p.WorkspaceID}},
		{"custom_variables", custom},
	}}}
}

// Ask is the request of a prepare step for one call.
type Ask struct {
	// Method is the HTTP method.
	Method string
	// URL is the URL of the request. If it is the same for every call, it belongs to the configuration and must not be
	// changed.
	URL *url.URL
	// Headers are further headers. It may be nil.
	Headers http.Header
	// Body is JSON, or nil if the request has no body.
	Body []byte
	// Answer says which answers are a success.
	Answer *Answer
	// Order makes the request to the gateway of bots out of the answer. It is nil for other kinds, and in that request
	// itself.
	Order func(*template.PrepareVars) (Ask, error)
}

// Ask builds the request for one call. The error names the key whose template failed.
func (p *Prepare) Ask(v template.Vars) (a Ask, err error) {
	a = Ask{Method: p.Method, Answer: &p.answer}
	if a.URL, err = p.URL.Render(v); err != nil {
		return a, fmt.Errorf("prepare.url: %w", err)
	}
	for _, h := range p.Headers {
		value, err := h.Value.Render(v)
		if err != nil {
			return a, fmt.Errorf("prepare.headers.%s: %w", h.Name, err)
		}
		if value == "" {
			continue
		}
		if a.Headers == nil {
			a.Headers = http.Header{}
		}
		a.Headers[h.Name] = []string{value}
	}
	if p.Body != nil {
		a.Body, err = p.Body.JSON(v)
	}
	if p.order != nil {
		a.Order = func(answer *template.PrepareVars) (Ask, error) {
			v.Prepare = answer
			return p.order.Ask(v)
		}
	}
	return a, err
}

// FromEnvironment returns the request's values from the environment, which may be secret.
func (p *Prepare) FromEnvironment() []string {
	all := slices.Clone(p.URL.FromEnvironment())
	for _, h := range p.Headers {
		all = append(all, h.Value.FromEnvironment()...)
	}
	if p.Body != nil {
		all = p.Body.root.environment(all)
	}
	return all
}

// sampleCallID is the platform's id of a made-up call.
const sampleCallID = "5f1c2f9e-6b7a-4c1d-9e8f-0a1b2c3d4e5f"

// Sample returns an answer to use in place of the platform's: the example in the file, or a minimal success.
func (p *Prepare) Sample(id string) []byte {
	if p.Example != nil {
		return p.Example
	}
	answer := map[string]any{}
	for _, m := range p.answer.Members {
		put(answer, m.Path, m.Value)
	}
	if p.answer.ID != "" {
		put(answer, p.answer.ID, id)
	}
	body, err := json.Marshal(answer)
	if err != nil { // can't happen: it contains only strings, numbers and booleans
		return nil
	}
	return body
}

// put sets a member of an object by its path.
func put(o map[string]any, path string, v any) {
	name, rest, more := strings.Cut(path, ".")
	if !more {
		o[name] = v
		return
	}
	inner, ok := o[name].(map[string]any)
	if !ok {
		inner = map[string]any{}
		o[name] = inner
	}
	put(inner, rest, v)
}

// sample returns the sample's values for templates. It returns nil for a nil section.
func (p *Prepare) sample() *template.PrepareVars {
	if p == nil || p.kind != KindHTTP && p.kind != KindWebsocket {
		return nil
	}
	v := &template.PrepareVars{Body: p.Sample(sampleCallID)}
	if p.answer.ID != "" {
		v.CallID, _ = v.JSON(p.answer.ID)
	}
	return v
}

// SampleVars returns the values of a made-up call to a target, including its sample of the platform's answer.
func (t *Target) SampleVars() template.Vars {
	v := templateUse{prepare: t.Prepare != nil, sample: t.Order().sample()}.vars()
	v.Row = t.Sample
	return v
}
