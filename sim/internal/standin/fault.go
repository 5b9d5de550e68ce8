package standin

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"flowbridge/sim"
)

const (
	bombMember  = 1 << 20 // size of one part of the bomb, unpacked
	bombMembers = 128
	hugeAnswer  = 10 << 20
)

// carryOut carries out the faults that all APIs share. It returns false if the request is finished.
func (s *Server) carryOut(w http.ResponseWriter, r *http.Request) bool {
	f := s.Fault()
	fail := func(code int, words string) { s.refuse(w, Refuse(code, "%s", words)) }
	switch f.Kind {
	case sim.FaultSlow:
		return s.stall(r, f.After)
	case sim.FaultHang:
		s.stall(r, 0)
	case sim.FaultReset:
		reset(w)
	case sim.Fault500:
		fail(http.StatusInternalServerError, "internal error")
	case sim.Fault401:
		fail(http.StatusUnauthorized, "the key is not known")
	case sim.Fault403:
		fail(http.StatusForbidden, "not enabled for this account")
	case sim.Fault429:
		if f.After > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(int((f.After+time.Second-1)/time.Second)))
		}
		fail(http.StatusTooManyRequests, "too many requests")
	case sim.FaultEcho:
		fail(http.StatusBadRequest, "bad header Authorization: "+r.Header.Get("Authorization"))
	case sim.FaultRedirect:
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
	case sim.FaultMalformed:
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"call_status": "registered", "synthflow_call_id": `)
	case sim.FaultHTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(cmp.Or(f.Status, http.StatusBadGateway))
		_, _ = io.WriteString(w, "<html><head><title>Bad Gateway</title></head><body>bad gateway</body></html>")
	case sim.FaultGzipBomb:
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = io.WriteString(w, Bomb())
	case sim.FaultHuge:
		huge(w)
	default: // a fault of the agent, or of a single answer
		return true
	}
	return false
}

// stall delays a request, forever if d is 0. It returns false if the client is gone or the server closes.
func (s *Server) stall(r *http.Request, d time.Duration) bool {
	var over <-chan time.Time
	if d > 0 {
		over = time.After(d)
	}
	select {
	case <-over:
		return true
	case <-r.Context().Done():
	case <-s.Context().Done():
	}
	return false
}

// Bomb is about 128 KiB of gzip that unpack to a thousand times as many spaces, which may precede JSON. It repeats
// one part, because a gzip file may have several (RFC 1952 section 2.2).
var Bomb = sync.OnceValue(func() string {
	var member bytes.Buffer
	z := gzip.NewWriter(&member)
	_, _ = z.Write(bytes.Repeat([]byte(" "), bombMember)) // writing to a buffer can't fail
	_ = z.Close()
	return string(bytes.Repeat(member.Bytes(), bombMembers))
})

// huge answers 200 with valid JSON that is too large.
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

// reset resets the connection.
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

// GivenIDs remembers the first id of each sort, for sim.FaultReused.
type GivenIDs struct {
	mu    sync.Mutex
	first map[string]string // by sort
}

// Told returns an id for an answer: the id itself, or the fault's replacement. sort says what the id belongs to.
func (g *GivenIDs) Told(f sim.Fault, sort, id string) any {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.first == nil {
		g.first = map[string]string{}
	}
	if g.first[sort] == "" {
		g.first[sort] = id
	}
	switch f.Kind {
	case sim.FaultTypes:
		return 4711
	case sim.FaultReused:
		return g.first[sort]
	case sim.FaultCRLF:
		return id + "\r\nX-Injected: yes"
	case sim.FaultEmptyID:
		return ""
	default:
		return id
	}
}
