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

// closing is an answer that ends its connection if it refuses.
type closing struct{ http.ResponseWriter }

// ClosingRefusals gives an answer that ends its connection if its status says that the request was refused. So a sender
// can't hold a connection by requests that come to nothing.
func ClosingRefusals(w http.ResponseWriter) http.ResponseWriter { return closing{w} }

// WriteHeader ends the connection of a refusal.
func (c closing) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		c.Header().Set("Connection", "close")
	}
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap gives the answer to http.ResponseController.
func (c closing) Unwrap() http.ResponseWriter { return c.ResponseWriter }
