package gateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/emiago/sipgo/sip"
	"github.com/rs/zerolog"
)

// TestCall: a whole call: what the bot gets, what the caller hears, marks, keys of both kinds, and its end.
func TestCall(t *testing.T) {
	g, p, b, d := connect(t, pcmu)
	ctx := deadline(t)
	start := b.events("start")[0]["start"].(map[string]any)
	if start["callSid"] != ids.call || start["accountSid"] != ids.account ||
		start["customParameters"].(map[string]any)["a"] != "b" {
		t.Errorf("start %v", start)
	}
	word := bytes.Repeat([]byte{0x2a}, 3*frameSize+7)
	b.say(`{"event":"media","media":{"payload":` + string(must(json.Marshal(word))) + `}}`)
	b.say(`{"event":"mark","mark":{"name":"end"}}`)
	b.say(`{"event":"nonsense"}`)
	b.say(`{`)
	eventually(t, "the mark is answered", func() bool { return len(b.events("mark")) == 1 })
	eventually(t, "the caller hears the word", func() bool { return bytes.Equal(p.words(), word) })
	p.send(d, 0, 1, 0, bytes.Repeat([]byte{0x33}, frameSize))
	p.send(d, 101, 2, 160, []byte{5, 0, 0, 160})
	p.send(d, 101, 3, 160, []byte{5, 0x80, 1, 64})
	p.send(d, 101, 4, 160, []byte{5, 0x80, 1, 64})
	eventually(t, "the bot has the key", func() bool { return len(b.events("dtmf")) == 1 })
	info := sip.NewRequest(sip.INFO, d.InviteResponse.Contact().Address)
	info.AppendHeader(sip.NewHeader("Content-Type", "application/dtmf-relay"))
	info.SetBody([]byte("Signal=#\r\nDuration=160\r\n"))
	if res, err := d.Do(ctx, info); err != nil || res.StatusCode != 200 {
		t.Errorf("INFO: %v", err)
	}
	eventually(t, "the bot has both keys", func() bool { return len(b.events("dtmf")) == 2 })
	eventually(t, "the bot hears the caller, and silence", func() bool { return len(b.events("media")) > 5 })
	if f := g.Figures(); f.Calls != 1 || f.Ignored != 2 {
		t.Errorf("figures %+v", f)
	}
	if err := d.Bye(ctx); err != nil {
		t.Error(err)
	}
	eventually(t, "the bot has stop", func() bool { return len(b.events("stop")) == 1 })
	eventually(t, "the call is over", func() bool { return g.Calls() == 0 })
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestPCMA: a caller without PCMU hears its bot, and the bot hears µ-law. Both conversions keep a sound that both laws
// have.
func TestPCMA(t *testing.T) {
	_, p, b, d := connect(t, pcma)
	word := bytes.Repeat([]byte{0x2a}, frameSize)
	said := bytes.Clone(word)
	convert(said, &aOfMu)
	b.say(`{"event":"media","media":{"payload":` + string(must(json.Marshal(word))) + `}}`)
	eventually(t, "the caller hears the word", func() bool { return bytes.Contains(p.words(), said) })
	p.send(d, pcma, 1, 0, said)
	hears := bytes.Clone(said)
	convert(hears, &muOfA)
	eventually(t, "the bot hears the caller", func() bool {
		return slices.ContainsFunc(b.events("media"), func(m map[string]any) bool {
			return m["media"].(map[string]any)["payload"] == base64.StdEncoding.EncodeToString(hears)
		})
	})
}

// TestClear: clear silences the bot at once, and answers its marks.
func TestClear(t *testing.T) {
	_, p, b, _ := connect(t, pcmu)
	audio := must(json.Marshal(bytes.Repeat([]byte{0x2a}, 29*perSecond)))
	b.say(`{"event":"media","media":{"payload":` + string(audio) + `}}`)
	b.say(`{"event":"mark","mark":{"name":"end"}}`)
	eventually(t, "the caller hears it", func() bool { return len(p.words()) > frameSize })
	b.say(`{"event":"clear"}`)
	eventually(t, "the mark is answered", func() bool { return len(b.events("mark")) == 1 })
	if n := len(p.words()); n > 28*perSecond {
		t.Errorf("the caller heard %d bytes", n)
	}
}

// TestRefusals: what a bot answers instead of a socket becomes a status that makes the B2BUA try the next target.
func TestRefusals(t *testing.T) {
	g := newGateway(t)
	p := newPeer(t, g)
	for status, want := range map[int]int{404: 502, 403: 502, 500: 502, 429: 503, 503: 503, 302: 502} {
		b := newTestBot(t, func(w http.ResponseWriter) bool {
			w.Header().Set("Location", "http://127.0.0.1:1/")
			w.WriteHeader(status)
			return false
		})
		if _, code := p.call(deadline(t), b.at()); code != want {
			t.Errorf("%d became %d; want %d", status, code, want)
		}
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	if _, code := p.call(deadline(t), "wss"+strings.TrimPrefix(secure.URL, "https")); code != 503 {
		t.Errorf("an unknown authority became %d", code)
	}
	if _, code := p.call(deadline(t), "ws://127.0.0.1:1/"); code != 503 {
		t.Errorf("no server became %d", code)
	}
	if _, code := p.call(deadline(t), "ws://localhost:1/"); code != 503 {
		t.Errorf("a private name became %d", code)
	}
	if f := g.Figures(); f.Refused != 9 || f.Calls != 0 {
		t.Errorf("figures %+v", f)
	}
}

// TestCancel: the caller leaves while the bot's server does not answer.
func TestCancel(t *testing.T) {
	g := newGateway(t)
	p := newPeer(t, g)
	asked, release := make(chan struct{}), make(chan struct{})
	b := newTestBot(t, func(http.ResponseWriter) bool { close(asked); <-release; return false })
	defer close(release)
	ctx, cancel := context.WithCancel(deadline(t))
	go func() { <-asked; cancel() }()
	_, code := p.call(ctx, b.at())
	if code == 200 {
		t.Error("the call was answered")
	}
	eventually(t, "no call is left", func() bool { return g.Calls() == 0 })
}

// TestBotLeaves: a bot that closes its socket hangs up, and one whose socket breaks has failed.
func TestBotLeaves(t *testing.T) {
	g, ctx := newGateway(t), deadline(t)
	p, b := newPeer(t, g), newTestBot(t, nil)
	for want, leave := range map[string]func(*websocket.Conn){
		"Q.850;cause=16":                 func(c *websocket.Conn) { _ = c.Close(websocket.StatusNormalClosure, "") },
		`Q.850;cause=41;text="bot_lost"`: func(c *websocket.Conn) { _ = c.CloseNow() },
	} {
		before := len(b.events("start"))
		if _, code := p.call(ctx, b.at()); code != 200 {
			t.Fatalf("got %d", code)
		}
		eventually(t, "the bot has start", func() bool { return len(b.events("start")) > before })
		b.mu.Lock()
		c := b.conn
		b.mu.Unlock()
		leave(c)
		if got := <-p.byes; got != want {
			t.Errorf("got %s; want %s", got, want)
		}
		eventually(t, "the call is over", func() bool { return g.Calls() == 0 })
	}
}

// TestResume: a gateway of another process, which has only the Contact, continues a call. A gateway with another key
// does not.
func TestResume(t *testing.T) {
	old, p, b, d := connect(t, pcmu)
	at := d.InviteResponse.Contact().Address.String()
	old.Mute(true)
	_ = old.Close()
	next := newGateway(t)
	if err := p.resume(next, NewAccess(AccessOptions{}), d); err != nil {
		t.Fatal(err)
	}
	again := <-p.invites
	if again == at {
		t.Error("it has the same Contact")
	}
	eventually(t, "the bot is told", func() bool {
		all := b.events("start")
		return len(all) == 2 && all[1]["start"].(map[string]any)["customParameters"].(map[string]any)["resumed"] == "true" &&
			all[0]["streamSid"] != all[1]["streamSid"]
	})
	if !next.Hangup(noAccount, ids.call) {
		t.Error("the call is not there")
	}
	<-p.byes
	other, err := Open(Options{Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	id := d.InviteRequest.CallID().Value()
	if other.Resume(NewAccess(AccessOptions{}), id, again, nil) == nil {
		t.Error("a gateway with another key continues it")
	}
	if err := next.Resume(NewAccess(AccessOptions{}), id+"x", again, nil); !errors.Is(err, errOtherCall) {
		t.Errorf("another call: got %v", err)
	}
}

// TestOrders: an order is good for one INVITE, and its parameters are bounded.
func TestOrders(t *testing.T) {
	g := newGateway(t)
	user, at, err := g.Order(Request{CallSID: ids.call})
	if err != nil || !at.Addr().IsLoopback() || at == (netip.AddrPort{}) {
		t.Fatal(err)
	}
	_, first := g.take(user)
	_, second := g.take(user)
	if !first || second {
		t.Errorf("taken %t, %t", first, second)
	}
	g.orders["old"] = order{until: time.Now().Add(-time.Second)}
	if _, _, err := g.Order(Request{}); err != nil || len(g.orders) != 1 {
		t.Errorf("%d orders wait, %v", len(g.orders), err)
	}
	if _, _, err := g.Order(Request{Parameters: make([]byte, maxParameters+1)}); !errors.Is(err, ErrParameters) {
		t.Errorf("got %v", err)
	}
}

// TestRest: what bots may ask over HTTP.
func TestRest(t *testing.T) {
	var ended []string
	h := &Rest{
		Token: func(account string) string { return map[string]string{ids.account: "secret"}[account] },
		End:   func(account, call string) bool { ended = append(ended, call); return call == ids.call },
	}
	ask := func(method, path, user, password, body string) int {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.SetBasicAuth(user, password)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if !json.Valid(w.Body.Bytes()) {
			t.Errorf("no JSON: %s", w.Body)
		}
		return w.Code
	}
	at := RestPath + "/" + ids.account + "/Calls/" + ids.call + ".json"
	for _, tt := range []struct {
		method, path, user, password, body string
		want                               int
	}{
		{"POST", at, ids.account, "secret", "Status=completed", 200},
		{"POST", strings.Replace(at, "CA2", "CA3", 1), ids.account, "secret", "Status=completed", 404},
		{"POST", at, ids.account, "wrong", "Status=completed", 401},
		{"POST", at, "other", "secret", "Status=completed", 401},
		{"POST", at, ids.account, "secret", "Twiml=<Response/>", 400},
		{"POST", at, ids.account, "secret", "Status=completed&Twiml=x", 400},
		{"GET", at, ids.account, "secret", "", 405},
		{"POST", RestPath + "/" + ids.account + "/Messages.json", ids.account, "secret", "", 404},
		{"POST", strings.ReplaceAll(at, ids.account, "ACx"), "ACx", "", "Status=completed", 401},
	} {
		if got := ask(tt.method, tt.path, tt.user, tt.password, tt.body); got != tt.want {
			t.Errorf("%+v: got %d", tt, got)
		}
	}
	if len(ended) != 2 || !slices.Contains(ended, ids.call) {
		t.Errorf("ended %v", ended)
	}
}
