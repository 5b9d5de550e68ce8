package sim

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

const (
	bombMember  = 1 << 20 // what one part of the bomb grows to
	bombMembers = 128
	hugeAnswer  = 10 << 20
)

// apiFault carries out the faults that every API can have; fail writes an
// error in the API's own shape. False means that the request is dealt with.
// It ends when closing does.
func apiFault(w http.ResponseWriter, r *http.Request, f Fault, closing <-chan struct{}, fail func(w http.ResponseWriter, code int, words string)) bool {
	switch f.Kind {
	case FaultSlow:
		return stall(r, f.After, closing)
	case FaultHang:
		stall(r, 0, closing)
	case FaultReset:
		reset(w)
	case Fault500:
		fail(w, http.StatusInternalServerError, "internal error")
	case Fault401:
		fail(w, http.StatusUnauthorized, "the key is not known")
	case Fault403:
		fail(w, http.StatusForbidden, "not enabled for this account")
	case Fault429:
		if f.After > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((f.After+time.Second-1)/time.Second)))
		}
		fail(w, http.StatusTooManyRequests, "too many requests")
	case FaultEcho:
		fail(w, http.StatusBadRequest, "bad header Authorization: "+r.Header.Get("Authorization"))
	case FaultRedirect:
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case FaultMalformed:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"call_status": "registered", "synthflow_call_id": `)
	case FaultHTML:
		status := f.Status
		if status == 0 {
			status = http.StatusBadGateway
		}
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html><head><title>Bad Gateway</title></head><body>bad gateway</body></html>")
	case FaultGzipBomb:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, bomb())
	case FaultHuge:
		huge(w)
	default: // the agent's faults, and those of one answer
		return true
	}
	return false
}

// stall holds a request back, for ever if d is 0; false means that nobody waits
// for the answer any more.
func stall(r *http.Request, d time.Duration, closing <-chan struct{}) bool {
	ctx := r.Context()
	if d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	select {
	case <-ctx.Done():
		return r.Context().Err() == nil
	case <-closing:
		return false
	}
}

// bomb is gzip of 128 KiB or so that grows a thousandfold: spaces, which JSON
// may begin with. A gzip file may have several parts (RFC 1952 section 2.2), so
// only one is made.
var bomb = sync.OnceValue(func() string {
	var member bytes.Buffer
	z := gzip.NewWriter(&member)
	_, _ = z.Write(bytes.Repeat([]byte(" "), bombMember)) // a buffer takes it
	_ = z.Close()
	return string(bytes.Repeat(member.Bytes(), bombMembers))
})

// huge answers 200 with good JSON that is too much of it.
func huge(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, `{"call_status":"registered","status":"ok","transcript":"`)
	chunk := bytes.Repeat([]byte("la "), 16<<10)
	for sent := 0; sent < hugeAnswer; sent += len(chunk) {
		if _, err := w.Write(chunk); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, `"}`)
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
