package hooks

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/rs/zerolog"
)

// The errors of Variables.Find.
var (
	// ErrUnknown means that no live call has an id.
	ErrUnknown = errors.New("no live call has this id")
	// ErrSeveral means that several have it.
	ErrSeveral = errors.New("several live calls have this id, so it is none's")
)

// Call is a live call as an agent is told of it.
type Call struct {
	ID              string            `json:"id"`
	SIPCallID       string            `json:"sip_call_id"`
	TargetSIPCallID string            `json:"target_sip_call_id"`
	SynthflowCallID string            `json:"synthflow_call_id"`
	ExternalID      string            `json:"external_id"`
	Trunk           string            `json:"trunk"`
	Route           string            `json:"route"`
	Target          string            `json:"target"`
	Direction       string            `json:"direction"`
	From            string            `json:"from"`
	To              string            `json:"to"`
	Lead            string            `json:"lead"`
	Diversion       string            `json:"diversion"`
	Variables       map[string]string `json:"variables"` // headers of the carrier's INVITE, and configured values
}

// maxID bounds the id that is asked for, in bytes.
const maxID = 256

// Variables answers GET path?id=… and GET path/… with the variables of a live
// call: what Synthflow's documents call a pre-action.
type Variables struct {
	// Path is what the id follows.
	Path string
	// Token is the bearer token that has to be shown.
	Token string
	// Find gives the live call that has an id. Its error is ErrUnknown or
	// ErrSeveral; of any other one the answer says that it failed.
	Find func(ctx context.Context, id string) (Call, error)
	Log  zerolog.Logger
}

// ServeHTTP answers one request.
func (v *Variables) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !v.authorized(r) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="flowbridge"`)
		fail(w, http.StatusUnauthorized, "the bearer token is missing or wrong: send Authorization: Bearer and the token of hooks.variables.token_file")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		fail(w, http.StatusMethodNotAllowed, "use GET")
		return
	}
	id := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, v.Path), "/")
	if id == "" {
		id = queryID(r.URL.RawQuery)
	}
	if id == "" || len(id) > maxID {
		fail(w, http.StatusBadRequest, "the id of a call is missing or longer than 256 bytes: ask for "+v.Path+"?id=…")
		return
	}
	call, err := v.Find(r.Context(), id)
	switch {
	case errors.Is(err, ErrUnknown):
		v.Log.Info().Str("id", id).Msg("variables asked of a call that is not there")
		fail(w, http.StatusNotFound, err.Error()+": ask while it is up, by our id, a Call-ID, the platform's or the external id")
	case errors.Is(err, ErrSeveral):
		v.Log.Warn().Str("id", id).Msg("variables asked by an id of several calls")
		fail(w, http.StatusConflict, err.Error())
	case err != nil:
		v.Log.Error().Err(err).Str("id", id).Msg("variables not given")
		fail(w, http.StatusServiceUnavailable, "the call does not answer")
	default:
		v.Log.Info().Str("id", id).Str("call", call.ID).Int("variables", len(call.Variables)).Msg("variables given")
		answer(w, http.StatusOK, call)
	}
}

// queryID is the parameter id. A plus is one: Call-IDs have it, and whoever puts
// an id into a URL may not escape it.
func queryID(query string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if text, ok := strings.CutPrefix(pair, "id="); ok {
			id, err := url.PathUnescape(text)
			if err == nil {
				return id
			}
		}
	}
	return ""
}

// authorized compares digests, which takes as long whatever was sent.
func (v *Variables) authorized(r *http.Request) bool {
	scheme, token, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || v.Token == "" {
		return false
	}
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(v.Token))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

func fail(w http.ResponseWriter, status int, words string) {
	answer(w, status, map[string]string{"error": words})
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // whoever asked may have gone
}
