package calltest

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/stir"
	"flowbridge/internal/stirtest"
	"flowbridge/store/record"
)

const certificateURL = "https://certs.example.net/shaken.pem"

// certificates stands for the web servers that publish certificates: it maps a path to its
// handler.
type certificates map[string]func(*http.Request) (*http.Response, error)

func (c certificates) RoundTrip(r *http.Request) (*http.Response, error) {
	if answer := c[r.URL.Path]; answer != nil {
		return answer(r)
	}
	return nil, errors.New("no such host")
}

// inVerifyingWorld runs a test with a carrier whose calls are verified. settings are
// additional keys of the carrier's identity section. One web server has the signer's
// certificate, and another one hangs.
func inVerifyingWorld(t *testing.T, settings string, test func(w *world, s *stirtest.Signer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := stirtest.New(t, stirtest.Provider)
		roots := filepath.Join(t.TempDir(), "roots.pem")
		must(t, os.WriteFile(roots, s.RootFile, 0o600))
		yaml := strings.NewReplacer(
			`country: "1"`, `country: "1", identity: {roots: `+roots+`, hosts: [certs.example.net]`+settings+`}`,
			"  - {name: spare, kind: sip,", `  - {name: spare, kind: sip, headers: {X-Verstat: "{{.Identity.Verstat}}", X-Attest: "{{if .Identity.Attest}}level {{.Identity.Attest}}{{end}}", X-Orig-ID: "{{.Identity.OrigID}}"},`,
		).Replace(testConfig)
		w := newWorld(t, yaml, func(o *b2bua.Options) {
			o.Log = testLog(t)
			o.Certificates = certificates{
				"/shaken.pem": func(*http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: 200, Body: io.NopCloser(bytes.NewReader(s.File))}, nil
				},
				"/hangs.pem": func(r *http.Request) (*http.Response, error) {
					<-r.Context().Done()
					return nil, r.Context().Err()
				},
			}
		})
		defer w.close()
		test(w, s)
		w.finish()
	})
}

// signed returns a call with an Identity header that names this certificate and was signed
// at the current time plus at.
func signed(w *world, s *stirtest.Signer, url string, at time.Duration) *dialogue {
	d := w.carrier.newCall("+15095785607")
	d.sdp = callerSDP()
	d.extra = "Identity: " + s.Sign(w.t, stirtest.Header(url), stirtest.Claims("15075550100", "15095785607", time.Now().Add(at))) + ";info=<" + url + ">\n"
	return d
}

// The result of the verification is in the target's headers and in the record.
func TestCallerIsVerified(t *testing.T) {
	inVerifyingWorld(t, "", func(w *world, s *stirtest.Signer) {
		for _, tt := range []struct {
			name            string
			url             string
			at              time.Duration
			verstat, attest string
		}{
			{"right", certificateURL, 0, stir.Passed, "A"},
			{"stale", certificateURL, -time.Hour, stir.Failed, ""},
			{"elsewhere", "https://evil.example/shaken.pem", 0, stir.None, ""},
		} {
			d := signed(w, s, tt.url, tt.at)
			invite, _ := w.answeredBySpareTo(d, agentSDP())
			origID, attest := "", ""
			if tt.attest != "" {
				origID, attest = "123e4567-e89b-12d3-a456-426655440000", "level "+tt.attest
			}
			if invite.value("X-Verstat") != tt.verstat || invite.value("X-Attest") != attest || invite.value("X-Orig-ID") != origID {
				t.Errorf("%s:\n%s", tt.name, invite.raw)
			}
			w.callerHangsUpAt(w.agent2, d)
			if r := w.record(); r.Verstat != tt.verstat || r.Attest != tt.attest || r.OrigID != origID {
				t.Errorf("%s: %q, %q, %q", tt.name, r.Verstat, r.Attest, r.OrigID)
			}
		}
	})
}

// A trunk lists the verification failures for which its calls are refused. Such a call is
// refused before anything rings, with the status that RFC 8224 gives.
func TestCallerIsRefused(t *testing.T) {
	inVerifyingWorld(t, ", refuse: [403, 428, 436, 438]", func(w *world, s *stirtest.Signer) {
		tampered := signed(w, s, certificateURL, 0)
		tampered.extra = strings.Replace(tampered.extra, "Identity: ", "y: A", 1)
		replayed := signed(w, s, certificateURL, 0)
		again := w.carrier.newCall("+15095785607")
		again.extra = replayed.extra
		for _, tt := range []struct {
			d      *dialogue
			status string
		}{
			{w.carrier.newCall("+15095785607"), "428 Use Identity Header"},
			{signed(w, s, certificateURL, -time.Hour), "403 Stale Date"},
			{signed(w, s, "https://evil.example/shaken.pem", 0), "436 Bad Identity Info"},
			{tampered, "438 Invalid Identity Header"},
			{replayed, ""},
			{again, "438 Invalid Identity Header"},
		} {
			if tt.status == "" {
				w.answeredBySpareTo(tt.d, agentSDP())
				w.callerEnds(w.agent2, tt.d)
				continue
			}
			w.carrier.invite(tt.d)
			m := tt.d.learn(w.carrier.expect("SIP/2.0 " + tt.status))
			if stale := strings.HasPrefix(tt.status, "403"); stale != (m.value("Date") != "") {
				t.Errorf("answer:\n%s", m.raw)
			}
			w.carrier.ackRefused(tt.d)
			if r := w.wantRecord("failed", cause.IdentityRefused, record.EndedBySystem); r.SIPStatus == 0 || len(r.Attempts) > 0 || r.Verstat == "" {
				t.Errorf("record %+v", r)
			}
		}
	})
}

// An Identity copied from another call is refused, even with the copied Call-ID. It is also
// refused for a number that was not signed, unless the call says that it was diverted
// there.
func TestCopiedIdentity(t *testing.T) {
	inVerifyingWorld(t, ", refuse: [438]", func(w *world, s *stirtest.Signer) {
		original := signed(w, s, certificateURL, 0)
		identity := original.extra
		w.answeredBySpareTo(original, agentSDP())
		w.callerEnds(w.agent2, original)
		diversion := "Diversion: <sip:+15095785607@192.0.2.10>;reason=unconditional\n"
		for _, tt := range []struct{ name, tag, extra string }{
			{"same tag", ";tag=ann", identity},
			{"another tag", ";tag=eve", identity},
			{"said to be diverted", ";tag=ann", identity + diversion},
			{"of a call that was not seen", ";tag=ann", signed(w, s, certificateURL, 0).extra},
		} {
			d := w.carrier.newCall("+15095785607")
			d.callID, d.extra, d.from = original.callID, tt.extra, strings.Replace(d.from, ";tag=ann", tt.tag, 1)
			w.carrier.send(strings.Replace(d.request("INVITE"), "+1509578560", "+1509000000", 1))
			if m := d.learn(w.carrier.expect("SIP/2.0 4")); !strings.Contains(m.raw, "438 Invalid Identity Header") {
				t.Fatalf("%s:\n%s", tt.name, m.raw)
			}
			w.carrier.ackRefused(d)
			w.wantRecord("failed", cause.IdentityRefused, record.EndedBySystem)
		}
		diverted := signed(w, s, certificateURL, 0)
		diverted.extra += diversion
		w.carrier.send(strings.Replace(diverted.request("INVITE"), "+1509578560", "+1509000000", 1))
		diverted.extra = ""
		diverted.learn(w.carrier.expect("SIP/2.0 180"))
		invite := w.agent2.expect("INVITE")
		if invite.value("X-Verstat") != stir.Passed {
			t.Errorf("INVITE:\n%s", invite.raw)
		}
		w.carrier.isBusyAt(w.agent2, invite, "agent2", diverted)
		w.record()
	})
}

// A hanging certificate server delays a call by at most the trunk's timeout, and does not
// delay later calls. If the caller hangs up, the call ends at once.
func TestCertificateServerHangs(t *testing.T) {
	inVerifyingWorld(t, "", func(w *world, s *stirtest.Signer) {
		const url = "https://certs.example.net/hangs.pem"
		for _, wait := range []time.Duration{stir.Timeout, 0} {
			at := time.Now()
			d := signed(w, s, url, 0)
			w.carrier.invite(d)
			d.extra = ""
			d.learn(w.carrier.expect("SIP/2.0 180"))
			if took := time.Since(at); took != wait {
				t.Errorf("180 after %v; want %v", took, wait)
			}
			invite := w.agent2.expect("INVITE")
			if invite.value("X-Verstat") != stir.None {
				t.Errorf("INVITE:\n%s", invite.raw)
			}
			w.carrier.isBusyAt(w.agent2, invite, "agent2", d)
			w.record()
		}
		time.Sleep(time.Minute)
		d := signed(w, s, url, 0)
		w.carrier.invite(d)
		d.extra = ""
		if synctest.Wait(); len(w.carrier.in) != 1 {
			t.Errorf("the caller got %d answers; want a 100, so that it does not ask again", len(w.carrier.in))
		}
		w.carrier.givesUp(d)
		if r := w.wantRecord("cancelled", cause.CallerCancelled, record.EndedByCaller); r.Verstat != "" {
			t.Errorf("verstat %q", r.Verstat)
		}
	})
}

// A server that stops does not wait for a certificate.
func TestStopWhileVerifying(t *testing.T) {
	inVerifyingWorld(t, "", func(w *world, s *stirtest.Signer) {
		d := signed(w, s, "https://certs.example.net/hangs.pem", 0)
		w.carrier.invite(d)
		synctest.Wait()
		w.server.HangupAll()
		w.carrier.isRefused(d, "503")
		w.record()
	})
}
