package node

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"flowbridge/store"
	"flowbridge/store/receipt"
	"flowbridge/store/record"
	"flowbridge/store/webhook"
)

// The chain begins with the first receipt. Its head is logged and told to webhooks, and old receipts go, except those
// of calls under a legal hold.
func TestReceipts(t *testing.T) {
	s := newReloadStage(t)
	heads := make(chan webhook.HeadMessage, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m webhook.HeadMessage
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil {
			t.Error(err)
		}
		heads <- m
	}))
	defer srv.Close()
	s.node.webhooks.Set([]webhook.Hook{{
		Name: "keeper", URL: srv.URL, Timeout: time.Minute, GiveUp: time.Hour,
		Concurrent: 1,
	}})
	dir := store.ReceiptsPath(s.node.config().Store.Path)
	s.node.receipts.purge()
	s.node.receipts.tellHead()
	if _, err := os.Stat(dir); err == nil || s.node.receipts.chain != nil {
		t.Fatal("a chain without a receipt")
	}
	_, err := s.node.store.NoteIDs(t.Context(), store.NoteHeld, true, "call-1")
	must(t, err)
	long := time.Now().Add(-s.node.config().Store.Keep - time.Hour)
	must(t, s.node.receipts.Write("call-1", long, record.Told{Sound: "ai-en", Whole: true}))
	s.node.receipts.tellHead()
	hash, n := s.node.receipts.chain.Head()
	if m := <-heads; m.SHA256 != hash || m.Receipts != n || n != 1 || m.Node != s.node.name ||
		m.Event != webhook.EventHead {
		t.Errorf("%+v; want %s", m, hash)
	}
	if log := s.logged(); !strings.Contains(log, hash) {
		t.Errorf("log: %s", log)
	}
	left := func() string {
		t.Helper()
		r, err := receipt.OpenReader(dir)
		must(t, err)
		defer r.Close()
		var text bytes.Buffer
		_, err = text.ReadFrom(r)
		must(t, err)
		if _, err := receipt.Verify(bytes.NewReader(text.Bytes()), s.node.receipts.chain.Key(), hash); err != nil {
			t.Error(err)
		}
		return text.String()
	}
	s.node.receipts.purge()
	if !strings.Contains(left(), "call-1") {
		t.Error("the receipt of a call under a legal hold is gone")
	}
	_, err = s.node.store.NoteIDs(t.Context(), store.NoteHeld, false, "call-1")
	must(t, err)
	s.node.receipts.purge()
	if strings.Contains(left(), "call-1") {
		t.Error("an old receipt stays")
	}
	must(t, s.node.receipts.close())
	s.node.receipts.chain = nil
	must(t, os.Remove(filepath.Join(dir, "key")))
	s.node.receipts.start()
	if err := s.node.receipts.Write("call-2", time.Now(), record.Told{}); err == nil ||
		!strings.Contains(s.logged(), "can't open the receipts") {
		t.Errorf("without the key: %v", err)
	}
}
