package calltest

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
	"flowbridge/sim/siptest"
	"flowbridge/store/record"
)

// digestConfig has credentials for both agents. inWorld's environment has the password.
var digestConfig = strings.NewReplacer(
	`token_env: TOKEN, model_id: m, timeout: 3s}`, `token_env: TOKEN, model_id: m, timeout: 3s}
    auth: {username: bob, password_env: PASSWORD}`,
	`192.0.2.21:32681"}`, `192.0.2.21:32681", auth: {username: bob, password_env: PASSWORD}}`,
).Replace(testConfig)

// challenge answers a request with 401 and takes its ACK, if it is an INVITE.
func (p *peer) challenge(req received, more string) {
	p.w.t.Helper()
	p.reply(req, 401, "Unauthorized", "challenger", "", `WWW-Authenticate: Digest realm="agents", qop="auth", `+more)
	if req.req().Method != sip.INVITE {
		return
	}
	ack := p.expect("ACK")
	if seq, _, _ := strings.Cut(req.value("CSeq"), " "); message.BranchOf(ack.Message) != message.BranchOf(req.Message) ||
		ack.value("CSeq") != seq+" ACK" || !strings.HasSuffix(ack.value("To"), ";tag=challenger") {
		p.w.t.Errorf("ACK of the challenge:\n%s", ack.raw)
	}
}

// wantCredentials checks the credentials of a request.
func (w *world) wantCredentials(m received, nonce string, nc int) {
	w.t.Helper()
	c := siptest.SentCredentials(w.t, m.req(), "Authorization")
	if len(c) != 1 || c[0].Nonce != nonce || c[0].Nc != nc {
		w.t.Fatalf("want credentials for nonce %s, nc %d:\n%s", nonce, nc, m.raw)
	}
	siptest.CheckCredentials(w.t, m.req(), c[0], "bob", "secret")
}

func TestChallengedCallAnswered(t *testing.T) {
	inWorldWith(t, digestConfig, func(w *world) {
		d := w.carrier.dialsTillRung("+15095785607")
		first := w.agent2.progresses(100, "Trying", "", "")
		time.Sleep(3 * time.Second)
		w.agent2.challenge(first, `nonce="n1"`)
		second := w.agent2.expect("INVITE sip:+15095785607@192.0.2.21:32681")
		if second.value("CSeq") != "2 INVITE" || second.value("Call-ID") != first.value("Call-ID") ||
			second.value("From") != first.value("From") || second.value("To") != first.value("To") ||
			message.BranchOf(second.Message) == message.BranchOf(first.Message) || string(second.Body()) != string(first.Body()) {
			t.Errorf("the second INVITE:\n%s\nafter\n%s", second.raw, first.raw)
		}
		w.wantCredentials(second, "n1", 1)
		synctest.Wait() // until the first transaction has ended
		for range 3 {
			w.agent2.challenge(first, `nonce="n2", stale=true`) // as if its ACK was lost
			synctest.Wait()
		}
		w.agent2.reply(second, 100, "Trying", "", "")
		time.Sleep(3 * time.Second)
		w.agent2.reply(second, 180, "Ringing", "a", "")
		time.Sleep(10 * time.Second)
		w.agent2.answer(second, "a")
		ack := w.agent2.expect("ACK")
		if ack.value("Authorization") != second.value("Authorization") || ack.value("CSeq") != "2 ACK" {
			t.Errorf("ACK:\n%s", ack.raw)
		}
		w.carrier.isAnswered(d)
		w.carrier.bye(d)
		w.carrier.expect("SIP/2.0 200")
		bye := w.agent2.expect("BYE")
		w.wantCredentials(bye, "n1", 2)
		w.agent2.challenge(bye, `nonce="n3", stale=true`)
		bye = w.agent2.expect("BYE")
		w.wantCredentials(bye, "n3", 1)
		w.agent2.reply(bye, 200, "OK", "", "")
		r := w.wantRecord("answered", cause.CallerHangup, record.EndedByCaller)
		if len(r.Attempts) != 1 || r.Attempts[0].SIPStatus != 200 || r.Attempts[0].Cause != "" || r.SetupMS != 16_000 {
			t.Errorf("record %+v", r)
		}
	})
}

// An attempt fails if the target's challenge can't be answered or is repeated without end.
func TestChallengeNotAnswered(t *testing.T) {
	for name, tt := range map[string]struct {
		yaml    string
		more    string
		cause   cause.Cause
		invites int
	}{
		"no credentials":    {testConfig, `nonce="n"`, cause.AuthMissing, 1},
		"unknown algorithm": {digestConfig, `nonce="n", algorithm=SHA3`, cause.AuthUnsupported, 1},
		"hostile nonce":     {digestConfig, "nonce=\"n\tX: y\"", cause.AuthUnsupported, 1},
		"wrong credentials": {digestConfig, `nonce="%d"`, cause.AuthRefused, 2},
		"for ever":          {digestConfig, `nonce="%d", stale=true`, cause.AuthRefused, 4},
	} {
		runIn(t, name, tt.yaml, func(w *world) {
			d := w.carrier.dialsTillRung("+15095785607")
			for i := range tt.invites {
				w.agent2.challenge(w.agent2.expect("INVITE"), strings.ReplaceAll(tt.more, "%d", fmt.Sprint(i)))
			}
			w.carrier.isRefused(d, "503")
			r := w.wantRecord("failed", tt.cause, record.EndedBySystem)
			if len(r.Attempts) != 1 || r.Attempts[0].SIPStatus != 401 || r.Attempts[0].Cause != string(tt.cause) || r.SIPStatus != 503 {
				w.t.Errorf("record %+v", r)
			}
		})
	}
}
