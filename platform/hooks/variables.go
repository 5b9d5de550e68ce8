package hooks

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"flowbridge/internal/httpd"
)

// These are the errors of Variables.Find.
var (
	// ErrUnknown means that no live call has the id.
	ErrUnknown = errors.New("no live call has this id")
	// ErrSeveral means that several live calls have the id.
	ErrSeveral = errors.New("several live calls have this id, so it is none's")
)

// Call is a live call in the form for agents.
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

// maxID bounds an id, in bytes.
const maxID = 256

// Variables answers GET path?id=… and GET path/… with the variables of a live call. Synthflow's documents call this a
// pre-action.
type Variables struct {
	Path  string // the path before the id
	Token string // the bearer token
	// Find returns the live call with an id. Its error is ErrUnknown, ErrSeveral, or another one if the call does not
	// answer.
	Find func(ctx context.Context, id string) (Call, error)
	Log  zerolog.Logger

	limit     sync.Once
	strangers zerolog.Logger
}

// ServeHTTP answers one request.
func (v *Variables) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !httpd.Same(httpd.Bearer(r), v.Token) {
		v.limit.Do(func() { v.strangers = httpd.Strangers(v.Log) })
		v.strangers.Warn().Str("src", r.RemoteAddr).Msg("variables requested with a missing or wrong token")
		w.Header().Set("WWW-Authenticate", `Bearer realm="flowbridge"`)
		httpd.Refuse(w, http.StatusUnauthorized,
			"the bearer token is missing or wrong: send Authorization: Bearer and the token of hooks.variables.token_file")
		return
	}
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		httpd.Refuse(w, http.StatusMethodNotAllowed, "use GET")
		return
	}
	id := strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, v.Path), "/")
	if id == "" {
		id = queryValue(r.URL.RawQuery, "id")
	}
	if id == "" || len(id) > maxID {
		httpd.Refuse(w, http.StatusBadRequest,
			"the id of a call is missing or longer than 256 bytes: ask for "+v.Path+"?id=…")
		return
	}
	call, err := v.Find(r.Context(), id)
	switch {
	case errors.Is(err, ErrUnknown):
		v.Log.Info().Str("id", id).Msg("variables requested for an unknown call")
		httpd.Refuse(w, http.StatusNotFound,
			err.Error()+": ask while it is up, by our id, a Call-ID, the platform's or the external id")
	case errors.Is(err, ErrSeveral):
		v.Log.Warn().Str("id", id).Msg("variables requested by an id that several calls have")
		httpd.Refuse(w, http.StatusConflict, err.Error())
	case err != nil:
		v.Log.Error().Err(err).Str("id", id).Msg("variables not rendered")
		httpd.Refuse(w, http.StatusServiceUnavailable, "the call does not answer")
	default:
		v.Log.Info().Str("id", id).Str("call", call.ID).Int("variables", len(call.Variables)).Msg("variables given")
		httpd.Answer(w, http.StatusOK, call)
	}
}
