//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"flowbridge/store/record"
)

// TestWhatsApp: a user of WhatsApp, as the stand-in for Meta plays one, calls an agent that repeats what it hears. The
// user must hear the agent, and the user's own words in what comes back.
func TestWhatsApp(t *testing.T) {
	for media, keying := range whatsAppMedia {
		t.Run(media, func(t *testing.T) {
			s := newStage(t)
			s.simulate()
			ca := s.authority("ca")
			own := ca.sign("own", "bridge.test")
			password := filepath.Join(t.TempDir(), "password")
			must(t, os.WriteFile(password, []byte("of-the-number"), 0o600))
			config := s.config(setup{
				listen: []string{s.listener("udp", s.b2bua), s.listener("tls", s.b2bua)},
				sip:    fmt.Sprintf(", tls: {cert: %[1]s, key: %[1]s.key}", own),
				trunk:  ", codecs: [opus], media: {srtp: required" + keying + "}",
			})
			config = replaceOnce(t, config, fmt.Sprintf(`sources: ["%v"]`, s.carrier),
				fmt.Sprintf("auth: {username: %q, password_file: %s}", called[1:], password))
			s.server = startServer(t, t.TempDir(), config)
			s.server.targets = []uint16{s.agent.Port()}
			cmd := exec.Command(program, "simulate", "whatsapp", "--server", "bridge.test",
				"--send-to", s.server.at("tls", s.carrier).String(),
				"--listen", netip.AddrPortFrom(s.carrier, 0).String(), "--ca", ca.file, "--called", called, "--from", caller,
				"--password-file", password, "--media", media, "--seconds", "12", "--json")
			cmd.Stderr = os.Stderr
			out, err := cmd.Output()
			var got struct {
				OK        bool
				Error     string
				WordsBack float64 `json:"words_back"`
				Checks    struct{ Nominated string }
				EndedBy   string `json:"ended_by"`
				ByeStatus int    `json:"bye_status"`
			}
			if json.Unmarshal(out, &got) != nil || err != nil || !got.OK || got.EndedBy != "caller" || got.ByeStatus != 200 {
				t.Fatalf("%v\n%s", err, out)
			}
			if got.WordsBack < 0.5 {
				t.Errorf("the user's words came back like what was said by %.2f\n%s", got.WordsBack, out)
			}
			if nominated := got.Checks.Nominated != ""; nominated != (media == "ice") {
				t.Errorf("nominated %q", got.Checks.Nominated)
			}
			r := s.server.finish(hungUpByCaller)[0]
			if r.Disposition != record.DispositionAnswered || !strings.EqualFold(r.Codec, "opus") || r.Media.A.SRTP == "" ||
				r.From != caller || r.To != called {
				t.Errorf("record %+v, media %+v", r, r.Media)
			}
		})
	}
}

// whatsAppMedia has the kinds of media that can be set at the number, with their settings of a trunk.
var whatsAppMedia = map[string]string{"ice": ", srtp_keying: dtls", "sdes": ""}
