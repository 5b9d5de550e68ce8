package node

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/platform/openai"
)

// A call that rings at OpenAI and is none of ours is rejected, whatever its headers say, and nothing is kept of it.
func TestOpenAIOfStrangers(t *testing.T) {
	const secret = "whsec_c2VjcmV0"
	asked := make(chan string, 8)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		asked <- r.URL.Path + " " + string(body)
		w.WriteHeader(http.StatusOK)
	}))
	t.Cleanup(api.Close)
	file := fileWith(t, secret)
	n := startNode(t, `
sip: {listen: ["udp://127.0.0.1:0"], max_delay: 1m}
media: {listen: ["127.0.0.1"], ports: 46100-46199}
targets: [{name: openai, kind: sip, uri: "sip:proj_1@127.0.0.1:9", headers: {X-Call: "{{.CallID}}"}}]
hooks: {listen: "127.0.0.1:0", openai: {secret_file: `+file+`, token_file: `+file+`, api: "`+api.URL+`", session: {type: realtime, instructions: "{{.From.Number}}"}}}
admin: {listen: "127.0.0.1:0"}
store: {path: "`+filepath.Join(t.TempDir(), "f.db")+`"}
`, func(string) (string, bool) { return secret, true })
	at := n.hookAt()
	for i, headers := range []string{``, `{"name":"X-Call","value":"guessed"},{"name":"Call-ID","value":"guessed"}`, `{"name":"X-Call","value":""}`} {
		body := fmt.Sprintf(`{"type":"realtime.call.incoming","data":{"call_id":"rtc_%d","sip_headers":[%s]}}`, i, headers)
		h, err := openai.Sign(secret, fmt.Sprint("wh_", i), time.Now(), []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+at+"/openai/webhook", bytes.NewReader([]byte(body)))
		if err != nil {
			t.Fatal(err)
		}
		r.Header = h
		r.Header.Set("Content-Type", "application/json")
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		said, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if want := fmt.Sprintf(`/v1/realtime/calls/rtc_%d/reject {"status_code":603}`, i); res.StatusCode != 200 || !strings.Contains(string(said), "rejected") || <-asked != want {
			t.Errorf("%d %s", res.StatusCode, said)
		}
	}
}
