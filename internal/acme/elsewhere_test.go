package acme

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestElsewhere: whatever a CA's answers name, and wherever they redirect, no request leaves the directory's scheme and
// host. The victim stands for our own admin API.
func TestElsewhere(t *testing.T) {
	for name, lie := range map[string]func(ca *authority, victim string) func(http.ResponseWriter, string) bool{
		"a URL of the directory": func(ca *authority, victim string) func(http.ResponseWriter, string) bool {
			return func(w http.ResponseWriter, path string) bool {
				if path != "/dir" {
					return false
				}
				_ = json.NewEncoder(w).Encode(map[string]string{
					"newNonce": ca.URL + "/nonce", "newAccount": ca.URL + "/account", "newOrder": victim + "/api/drain",
				})
				return true
			}
		},
		"another scheme": func(ca *authority, _ string) func(http.ResponseWriter, string) bool {
			return func(w http.ResponseWriter, path string) bool {
				if path != "/dir" {
					return false
				}
				_ = json.NewEncoder(w).Encode(map[string]string{
					"newNonce": ca.URL + "/nonce", "newAccount": ca.URL + "/account",
					"newOrder": strings.Replace(ca.URL, "https:", "http:", 1) + "/new",
				})
				return true
			}
		},
		"a redirect of the order": func(_ *authority, victim string) func(http.ResponseWriter, string) bool {
			return func(w http.ResponseWriter, path string) bool {
				if path != "/new" {
					return false
				}
				w.Header().Set("Location", victim+"/api/drain")
				w.WriteHeader(http.StatusTemporaryRedirect)
				return true
			}
		},
		"a redirect of the directory": func(ca *authority, _ string) func(http.ResponseWriter, string) bool {
			return func(w http.ResponseWriter, path string) bool { // also on the same host
				if path != "/dir" {
					return false
				}
				w.Header().Set("Location", ca.URL+"/nonce")
				w.WriteHeader(http.StatusTemporaryRedirect)
				return true
			}
		},
		"the order's URLs": func(_ *authority, victim string) func(http.ResponseWriter, string) bool {
			return func(w http.ResponseWriter, path string) bool {
				if path != "/new" {
					return false
				}
				w.WriteHeader(http.StatusCreated)
				_ = json.NewEncoder(w).Encode(map[string]any{
					"status": "pending", "authorizations": []string{victim + "/api/reload"}, "finalize": victim + "/api/upgrade",
				})
				return true
			}
		},
		"many authorizations": func(ca *authority, _ string) func(http.ResponseWriter, string) bool {
			return func(w http.ResponseWriter, path string) bool {
				if path != "/new" {
					return false
				}
				w.WriteHeader(http.StatusCreated)
				_ = json.NewEncoder(w).Encode(map[string]any{
					"status": "pending", "authorizations": []string{ca.URL + "/a", ca.URL + "/b", ca.URL + "/c"}, "finalize": ca.URL + "/f",
				})
				return true
			}
		},
		"an endless reason": func(*authority, string) func(http.ResponseWriter, string) bool {
			return func(w http.ResponseWriter, path string) bool {
				if path != "/new" {
					return false
				}
				w.WriteHeader(http.StatusForbidden)
				_ = json.NewEncoder(w).Encode(map[string]string{"detail": strings.Repeat("ü", 100_000)})
				return true
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var asked atomic.Int32
			victim := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
			defer victim.Close()
			ca := newAuthority(t)
			k, log := ca.keeper(HTTP01)
			ca.lie = lie(ca, victim.URL)
			if wait := k.look(t.Context()); wait != retryFirst {
				t.Errorf("it looks again in %v", wait)
			}
			want := map[string]string{
				"a redirect of the order": "307", "a redirect of the directory": "307",
				"many authorizations": "3 authorizations for 2 domains", "an endless reason": "üü …",
			}[name]
			if want == "" {
				want = "only its directory's scheme and host are asked"
			}
			text := log.String()
			if asked.Load() != 0 || !strings.Contains(text, want) || len(text) > 1000 {
				t.Errorf("%d requests left the CA; the log has %d bytes, want %q:\n%.1500s", asked.Load(), len(text), want, text)
			}
		})
	}
}
