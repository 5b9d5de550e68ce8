package httpd

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// Refuse answers {"error": words}.
func Refuse(w http.ResponseWriter, status int, words string) {
	Answer(w, status, map[string]string{"error": words})
}

// Answer answers with a value as JSON. A value without JSON gives 500.
func Answer(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // programs read it
	if err := enc.Encode(v); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"error":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSpace(b.Bytes())) // the client may have gone
}
