//go:build e2e

package e2e

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"flowbridge/store/record"
)

// TestWebhook makes a receiver fail while calls end, and the process is killed during that time. After the next start
// the receiver is told of each call, signed, and with the same ids as before.
func TestWebhook(t *testing.T) {
	s := newStage(t)
	s.simulate()
	var mu sync.Mutex
	var works atomic.Bool
	tried, told := map[string]string{}, map[string]record.Record{} // by id of the delivery
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var m struct {
			Event, ID string
			Record    record.Record
		}
		if err == nil {
			err = json.Unmarshal(body, &m)
		}
		mac := hmac.New(sha256.New, []byte("e2e-secret"))
		mac.Write([]byte(r.Header.Get("Flowbridge-Timestamp") + "."))
		mac.Write(body)
		if err != nil || m.Event != "call.ended" || r.Header.Get("Flowbridge-Signature") != "v1="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("%v: %v %s", err, r.Header, body)
		}
		mu.Lock()
		defer mu.Unlock()
		if tried[m.Record.ID] != "" && tried[m.Record.ID] != m.ID {
			t.Errorf("call %s was told as %s and as %s", m.Record.ID, tried[m.Record.ID], m.ID)
		}
		tried[m.Record.ID] = m.ID
		if !works.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		told[m.ID] = m.Record
	}))
	defer receiver.Close()
	secret := filepath.Join(t.TempDir(), "secret")
	must(t, os.WriteFile(secret, []byte("e2e-secret\n"), 0o600))
	config := s.config(setup{}) + `webhooks: [{name: crm, url: "` + receiver.URL + `", secret_file: ` + secret + `}]` + "\n"
	b := startServer(t, t.TempDir(), config)
	s.server, b.targets = b, []uint16{s.agent.Port()}
	const calls = 3
	for range calls {
		s.refusedCarrier(404, "+4930123456").finish()
	}
	eventually(t, "all calls have records", func() bool { return len(b.cdrs()) == calls })
	eventually(t, "the receiver was asked", func() bool { mu.Lock(); defer mu.Unlock(); return len(tried) > 0 })
	b.signal(syscall.SIGKILL)
	<-b.done
	works.Store(true)
	again := startServer(t, b.dir, config)
	eventually(t, "every call is told", func() bool { mu.Lock(); defer mu.Unlock(); return len(told) == calls })
	byID := map[string]record.Record{}
	for _, r := range again.cdrs() {
		byID[r.ID] = r
	}
	mu.Lock()
	for id, r := range told {
		if want, ok := byID[r.ID]; !ok || want.Cause != r.Cause || want.SIPCallID != r.SIPCallID || want.To != r.To {
			t.Errorf("delivery %s: %+v; want %+v", id, r, want)
		}
	}
	mu.Unlock()
	again.stop()
}
