package sim

import (
	"context"
	"io"
	"net"
	"net/http"
)

// apiFault carries out the faults that every API can have; fail writes an
// error in the API's own shape. False means that the request is dealt with.
// It ends when closing does.
func apiFault(w http.ResponseWriter, r *http.Request, f Fault, closing <-chan struct{}, fail func(w http.ResponseWriter, code int, words string)) bool {
	switch f.Kind {
	case FaultSlow:
		ctx, cancel := context.WithTimeout(r.Context(), f.After)
		defer cancel()
		select {
		case <-ctx.Done():
			return r.Context().Err() == nil
		case <-closing:
			return false
		}
	case FaultHang:
		select {
		case <-r.Context().Done():
		case <-closing:
		}
	case Fault500:
		fail(w, http.StatusInternalServerError, "internal error")
	case Fault401:
		fail(w, http.StatusUnauthorized, "the key is not known")
	case FaultMalformed:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"call_status": "registered", "synthflow_call_id": `)
	case FaultHTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadGateway)
		_, _ = io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head><body>bad gateway</body></html>")
	case FaultReset:
		reset(w)
	default: // the agent's faults
		return true
	}
	return false
}

// reset closes the connection so that the peer sees it break.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if c, ok := conn.(*net.TCPConn); ok {
		_ = c.SetLinger(0)
	}
	_ = conn.Close()
}
