package gateway

import (
	"crypto/subtle"
	"encoding/json"
	"net/http"
	"strings"
)

// RestPath is where bots end their calls over HTTP. It is a path of Twilio's API, and the only one that is served.
const RestPath = "/2010-04-01/Accounts"

// maxForm bounds a request, in bytes.
const maxForm = 64 << 10

// Rest ends calls as Twilio's API does: POST RestPath/{account}/Calls/{call}.json with Status=completed.
type Rest struct {
	// Token returns the auth token of an account, or "" if the account is unknown.
	Token func(account string) string
	// End ends a call of an account. It reports false if there is none.
	End func(account, call string) bool
}

// ServeHTTP answers a request. Errors have the form of Twilio's.
func (h *Rest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	account, call, ok := restPath(r.URL.Path)
	user, password, _ := r.BasicAuth()
	token := h.Token(account)
	switch {
	case !ok:
		refuse(w, http.StatusNotFound, "Flowbridge has only .../Calls/{CallSid}.json of this API.")
	case token == "" || user != account || subtle.ConstantTimeCompare([]byte(password), []byte(token)) != 1:
		w.Header().Set("WWW-Authenticate", `Basic realm="Twilio API"`)
		refuse(w, http.StatusUnauthorized, "Authenticate with account_sid and the auth token of the target.")
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		refuse(w, http.StatusMethodNotAllowed, "Flowbridge has only POST of this path.")
	default:
		h.update(w, r, account, call)
	}
}

func (h *Rest) update(w http.ResponseWriter, r *http.Request, account, call string) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if r.ParseForm() != nil || r.PostForm.Get("Status") != "completed" || len(r.PostForm) != 1 {
		refuse(w, http.StatusBadRequest, "Flowbridge takes Status=completed alone: it knows no TwiML. "+
			"Transfer and hold are orders to hooks.commands.")
		return
	}
	if !h.End(account, call) {
		refuse(w, http.StatusNotFound, "There is no such call.")
		return
	}
	respond(w, http.StatusOK, map[string]string{"sid": call, "account_sid": account, "status": "completed"})
}

// restPath returns the ids in a path.
func restPath(path string) (account, call string, ok bool) {
	rest, under := strings.CutPrefix(path, RestPath+"/")
	account, rest, calls := strings.Cut(rest, "/Calls/")
	call, form := strings.CutSuffix(rest, ".json")
	return account, call, under && calls && form && !strings.Contains(account+call, "/")
}

func refuse(w http.ResponseWriter, status int, words string) {
	respond(w, status, struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
		Status  int    `json:"status"`
	}{20000 + status, words, status})
}

func respond(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // can't happen: it has only strings and numbers
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // if it fails, the client has gone
}
