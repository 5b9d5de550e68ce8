package sim

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
)

const (
	maxVapiBody  = 256 << 10
	defaultLimit = 100 // of objects in a list, as the API reference says
	maxLimit     = 1000
)

// handler serves the API: what the platform's API reference has under
// Assistants, Phone Numbers and Calls, without what there is no use for here.
func (v *Vapi) handler() http.Handler {
	a := v.account
	mux := http.NewServeMux()
	mux.HandleFunc("POST /assistant", v.write(http.StatusCreated, func(_ string, body map[string]any) (map[string]any, *vapiError) {
		return a.createAssistant(body)
	}))
	mux.HandleFunc("PATCH /assistant/{id}", v.write(http.StatusOK, a.changeAssistant))
	mux.HandleFunc("POST /phone-number", v.write(http.StatusCreated, func(_ string, body map[string]any) (map[string]any, *vapiError) {
		return a.createNumber(body)
	}))
	mux.HandleFunc("PATCH /phone-number/{id}", v.write(http.StatusOK, a.changeNumber))
	for path, t := range map[string]*vapiTable{"/assistant": &a.assistants, "/phone-number": &a.numbers} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			a.mu.Lock()
			list := t.list()
			a.mu.Unlock()
			for i, o := range list {
				list[i] = v.told(path[1:], o)
			}
			answerList(w, r, list)
		})
		mux.HandleFunc("GET "+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
			a.mu.Lock()
			o, err := t.get(r.PathValue("id"))
			a.mu.Unlock()
			if err == nil {
				o = v.told(path[1:], o)
			}
			answerVapi(w, http.StatusOK, o, err)
		})
		mux.HandleFunc("DELETE "+path+"/{id}", func(w http.ResponseWriter, r *http.Request) {
			o, err := a.remove(t, r.PathValue("id"))
			if err == nil {
				o = v.told(path[1:], o)
			}
			answerVapi(w, http.StatusOK, o, err)
		})
	}
	mux.HandleFunc("GET /call", func(w http.ResponseWriter, r *http.Request) { answerList(w, r, v.callObjects()) })
	mux.HandleFunc("GET /call/{id}", func(w http.ResponseWriter, r *http.Request) {
		for _, o := range v.callObjects() {
			if o["id"] == r.PathValue("id") {
				answerVapi(w, http.StatusOK, o, nil)
				return
			}
		}
		answerVapi(w, 0, nil, refused(http.StatusNotFound, "Couldn't find Call "+strconv.Quote(r.PathValue("id"))+"."))
	})
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		answerVapi(w, 0, nil, refused(http.StatusNotFound, "Cannot "+r.Method+" "+r.URL.Path))
	})
	return v.guard(mux)
}

// guard is what comes before every request: the key, and the faults.
func (v *Vapi) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !v.sip.enter() {
			vapiFailed(w, http.StatusServiceUnavailable, "closing")
			return
		}
		defer v.sip.leave()
		got, want := r.Header.Get("Authorization"), "Bearer "+v.opts.Key
		if subtle.ConstantTimeCompare([]byte(got), []byte(want)) != 1 {
			vapiFailed(w, http.StatusUnauthorized, "Invalid Key. Use the private key of the account as the bearer token.")
			return
		}
		if apiFault(w, r, v.Fault(), v.sip.ctx.Done(), vapiFailed) {
			next.ServeHTTP(w, r)
		}
	})
}

// write is a request with a body.
func (v *Vapi) write(code int, do func(id string, body map[string]any) (map[string]any, *vapiError)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			vapiFailed(w, http.StatusUnsupportedMediaType, "Content-Type must be application/json")
			return
		}
		raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxVapiBody))
		if err != nil {
			vapiFailed(w, http.StatusRequestEntityTooLarge, "request entity too large, or cut short")
			return
		}
		body, err := jsonObject(raw)
		if err != nil {
			vapiFailed(w, http.StatusBadRequest, err.Error())
			return
		}
		o, refusal := do(r.PathValue("id"), body)
		if refusal == nil {
			v.log.Info().Str("id", o["id"].(string)).Str("path", r.URL.Path).Msg("account changed")
			collection, _, _ := strings.Cut(r.URL.Path[1:], "/")
			o = v.told(collection, o)
		}
		answerVapi(w, code, o, refusal)
	}
}

var errNoObject = errors.New("want a JSON object")

func jsonObject(raw []byte) (map[string]any, error) {
	var body map[string]any
	if err := json.Unmarshal(raw, &body); err != nil || body == nil {
		return nil, errNoObject
	}
	return body, nil
}

func answerList(w http.ResponseWriter, r *http.Request, list []map[string]any) {
	limit := defaultLimit
	if given := r.URL.Query().Get("limit"); given != "" {
		n, err := strconv.Atoi(given)
		if err != nil || n < 0 || n > maxLimit {
			vapiFailed(w, http.StatusBadRequest, "limit must be a number from 0 to 1000")
			return
		}
		limit = n
	}
	out := make([]any, 0, len(list))
	for _, o := range list[:min(limit, len(list))] {
		out = append(out, withoutSecrets(o))
	}
	answerJSON(w, http.StatusOK, out)
}

func answerVapi(w http.ResponseWriter, code int, object map[string]any, err *vapiError) {
	if err != nil {
		vapiRefused(w, err)
		return
	}
	answerJSON(w, code, withoutSecrets(object))
}

func vapiFailed(w http.ResponseWriter, code int, words string) {
	vapiRefused(w, refused(code, words))
}

// vapiRefused writes an error in the platform's shape: several words about a
// body are a list.
func vapiRefused(w http.ResponseWriter, err *vapiError) {
	var message any = err.words
	if len(err.words) == 1 {
		message = err.words[0]
	}
	answerJSON(w, err.code, map[string]any{"message": message, "error": http.StatusText(err.code), "statusCode": err.code})
}

func answerJSON(w http.ResponseWriter, code int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		code, body = http.StatusInternalServerError, []byte(`{"message":"internal error","error":"Internal Server Error","statusCode":500}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_, _ = w.Write(body)
}

// withoutSecrets is a copy of an object without what nobody is told again.
func withoutSecrets(object map[string]any) map[string]any {
	out := make(map[string]any, len(object))
	for name, value := range object {
		switch name {
		case "password", "secret", "serverUrlSecret", "headers", "credentials":
			continue
		}
		out[name] = clean(value)
	}
	return out
}

func clean(v any) any {
	switch v := v.(type) {
	case map[string]any:
		return withoutSecrets(v)
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, clean(item))
		}
		return out
	}
	return v
}
