package node

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/platform/hooks"
)

// TestTokensOfOneAccount: of two targets with one account each one's token is good, and no other.
func TestTokensOfOneAccount(t *testing.T) {
	const account = "AC00112233445566778899aabbccddeeff"
	bot := func(account, token string) config.Target {
		return config.Target{
			Kind: config.KindWebsocket, Twilio: &config.SocketTwilio{AccountSID: account, AuthToken: config.Secret(token)},
		}
	}
	h := &callHooks{log: zerolog.Nop(), inForce: new(atomic.Pointer[inForce])}
	h.inForce.Store(&inForce{bots: &bots{}, cfg: &config.Config{Targets: []config.Target{
		bot(account, "first"), bot(account, ""), bot(account, "second"), bot(strings.ToUpper(account), "another"),
	}}})
	all, err := h.endpoints(h.config())
	if err != nil || len(all) != 1 {
		t.Fatalf("%d endpoints, %v", len(all), err)
	}
	for token, want := range map[string]int{ // 404: there is no such call
		"first": http.StatusNotFound, "second": http.StatusNotFound, "another": http.StatusUnauthorized,
		"": http.StatusUnauthorized, "firstsecond": http.StatusUnauthorized,
	} {
		if got := ordered(t.Context(), all[0], account, token); got != want {
			t.Errorf("%q: got %d; want %d", token, got, want)
		}
	}
}

// ordered has a bot end a call, and returns the answer's status.
func ordered(ctx context.Context, at hooks.Endpoint, account, token string) int {
	path := at.Path + "/" + account + "/Calls/CA00112233445566778899aabbccddeeff.json"
	r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, strings.NewReader("Status=completed"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(account, token)
	w := httptest.NewRecorder()
	at.Handler.ServeHTTP(w, r)
	return w.Code
}
