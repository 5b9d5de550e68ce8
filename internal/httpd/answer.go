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

// Answer answers with a value as JSON. If the value can't be encoded, it answers 500.
func Answer(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false) // the output is not for HTML
	if err := enc.Encode(v); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		b.WriteString(`{"error":"internal error"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(bytes.TrimSpace(b.Bytes())) // the client may have gone
}

// closing is an answer that ends its connection if its status refuses the request.
type closing struct{ http.ResponseWriter }

// ClosingRefusals returns an answer that ends its connection if its status refuses the request. So a sender can't hold
// a connection with invalid requests.
func ClosingRefusals(w http.ResponseWriter) http.ResponseWriter { return closing{w} }

// WriteHeader ends the connection of a refusal.
func (c closing) WriteHeader(status int) {
	if status >= http.StatusBadRequest {
		c.Header().Set("Connection", "close")
	}
	c.ResponseWriter.WriteHeader(status)
}

// Unwrap returns the answer to http.ResponseController.
func (c closing) Unwrap() http.ResponseWriter { return c.ResponseWriter }
