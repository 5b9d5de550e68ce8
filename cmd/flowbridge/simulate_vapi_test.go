package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
)

// TestSimulateVapi: the command prints its addresses, serves there, and ends
// with its context.
func TestSimulateVapi(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	read, write := io.Pipe()
	var log bytes.Buffer
	c := command()
	c.SetArgs([]string{"simulate", "vapi", "--http", "127.0.0.1:0", "--sip", "127.0.0.1:0", "--key", "a-key", "--json"})
	c.SetOut(write)
	c.SetErr(&log)
	done := make(chan error, 1)
	go func() {
		err := c.ExecuteContext(ctx)
		_ = write.CloseWithError(err)
		done <- err
	}()
	var at struct{ API, Key, SIP string }
	if err := json.NewDecoder(read).Decode(&at); err != nil || at.Key != "a-key" || at.SIP == "" {
		t.Fatalf("%+v, %v", at, err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.API+"/assistant", strings.NewReader(`{"name":"Desk"}`))
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+at.Key)
	req.Header.Set("Content-Type", "application/json")
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Do(req)
	must(t, err)
	_ = res.Body.Close()
	cancel()
	if err := <-done; err != nil || res.StatusCode != http.StatusCreated {
		t.Errorf("%d, %v", res.StatusCode, err)
	}
	if !strings.Contains(log.String(), `"account changed"`) || strings.Contains(log.String(), "a-key") {
		t.Errorf("log: %s", log.String())
	}
}

// The help lists no fault that the command refuses.
func TestSimulateVapiFaultUsage(t *testing.T) {
	out, code := run(t, "simulate", "vapi", "--help")
	if code != 0 || !strings.Contains(out, "types, reused, crlf, emptyid (the API)") || strings.Contains(out, "failed") {
		t.Errorf("exit code %d\n%s", code, out)
	}
}
