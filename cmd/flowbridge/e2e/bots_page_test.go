//go:build e2e

package e2e

import (
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/emiago/sipgo/sip"
)

// botLine is a line of testdata/bot.py.
type botLine struct{ URL, Event, Name, Digit, Error string }

// pageBot starts the bot that was written from Twilio's page.
func (s *stage) pageBot() (url string, said func() []botLine) {
	s.Helper()
	p := start(s.T, "bot.py", exec.Command("python3", "testdata/bot.py"))
	said = func() (all []botLine) {
		for _, text := range p.output() {
			var l botLine
			if json.Unmarshal([]byte(text), &l) != nil {
				l.Error = text
			}
			all = append(all, l)
		}
		return all
	}
	eventually(s.T, "the bot listens", func() bool { return len(said()) > 0 })
	return said()[0].URL, said
}

// TestBotOfThePage: a bot that knows only Twilio's page finds nothing wrong with the messages, is heard, gets keys, and
// hangs up. The ladder has what both said on the socket, without the values of parameters.
func TestBotOfThePage(t *testing.T) {
	s := newStage(t)
	url, said := s.pageBot()
	has := func(want botLine) func() bool { return func() bool { return slices.Contains(said(), want) } }
	at := s.freePort(s.b2bua)
	s.server = startServer(t, t.TempDir(), s.botConfig("udp://"+at.String(), url, ""))
	c := s.newCallers(1)
	eventually(t, "the greeting was heard to its end", has(botLine{Event: "mark", Name: "greeting"}))
	c.hear()
	press := func(key string) {
		info := sip.NewRequest(sip.INFO, c.calls[0].d.InviteResponse.Contact().Address)
		info.AppendHeader(sip.NewHeader("Content-Type", "application/dtmf-relay"))
		info.SetBody([]byte("Signal=" + key + "\r\nDuration=160\r\n"))
		_, err := c.calls[0].d.Do(c.ctx, info)
		must(t, err)
		eventually(t, "the bot has the key", has(botLine{Event: "dtmf", Digit: key}))
	}
	press("5")
	c.hear()
	press("*")
	eventually(t, "the call has a record", func() bool { return len(s.server.cdrs()) == 1 })
	c.end()
	r := s.server.cdrs()[0]
	if r.Cause != "agent_hangup" {
		t.Errorf("cause %s", r.Cause)
	}
	for _, l := range said() {
		if l.Error != "" {
			t.Errorf("the bot: %s", l.Error)
		}
	}
	var summaries string
	eventually(t, "the ladder has the socket's end", func() bool {
		summaries = ""
		for _, m := range s.server.said(r.ID).Messages {
			if m.Kind == "decision" {
				summaries += m.Summary + "\n"
			}
		}
		return strings.Contains(summaries, "the bot's WebSocket is closed")
	})
	for _, want := range []string{
		`to the bot: start of MZ[0-9a-f]{32}, with the parameters called`, `from the bot: .* of audio, mark "greeting"`,
		`to the bot: .*mark "greeting"`, `to the bot: dtmf`, `from the bot: clear`,
	} {
		if !regexp.MustCompile("(?m)^" + want + "$").MatchString(summaries) {
			t.Errorf("no %q in\n%s", want, summaries)
		}
	}
	for line := range strings.Lines(summaries) {
		if strings.Contains(line, "bot: ") && strings.Contains(line, called) {
			t.Errorf("a parameter's value: %s", line)
		}
	}
}

// TestBotsFollowEachOther: a bot that refuses its call is followed by the next one, over TLS with an authority of its
// own, and one whose socket breaks by the bot that rescues the call.
func TestBotsFollowEachOther(t *testing.T) {
	s := newStage(t)
	refuses := newMediaBot(t)
	refuses.status = 403
	secure, rescuer := &mediaBot{}, newMediaBot(t)
	secure.Server = httptest.NewTLSServer(secure.handler())
	t.Cleanup(secure.CloseClientConnections)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	must(t, os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600))
	at := s.freePort(s.b2bua)
	text := s.botConfig("udp://"+at.String(), refuses.url(), "")
	target := func(name, url, keys string) string {
		return fmt.Sprintf("- {name: %s, kind: websocket, url: %q%s}\n", name, url, keys)
	}
	text = strings.Replace(text, "routes: [{targets: [bot]}]",
		target("secure", secure.url(), fmt.Sprintf(", tls: {ca: %q}", ca))+
			target("rescuer", rescuer.url(), "")+"routes: [{targets: [bot, secure], rescue: {targets: [rescuer]}}]", 1)
	s.server = startServer(t, t.TempDir(), text)
	c := s.newCallers(1)
	c.hear()
	secure.cut()
	eventually(t, "the other bot has the call", func() bool { return rescuer.open.Load() == 1 })
	c.hear()
	c.hangUp()
	eventually(t, "the call has a record", func() bool { return len(s.server.cdrs()) == 1 })
	var got []string
	for _, a := range s.server.cdrs()[0].Attempts {
		got = append(got, fmt.Sprintf("%s %d", a.Target, a.SIPStatus))
	}
	if want := []string{"bot 502", "secure 200", "rescuer 200"}; !slices.Equal(got, want) {
		t.Errorf("attempts %v; want %v", got, want)
	}
}

// TestBotBehindTLS: where SIP comes over TLS only, a UDP address that only this machine reaches lets a bot take calls.
func TestBotBehindTLS(t *testing.T) {
	s := newStage(t)
	bot := newMediaBot(t)
	ca := s.authority("ca")
	own := ca.sign("own", s.b2bua.String())
	text := s.botConfig(s.listener("tls", s.b2bua)+`", "udp://127.0.0.1:0`, bot.url(), "")
	text = replaceOnce(t, strings.ReplaceAll(text, `\"`, `"`), "max_delay: 1m",
		fmt.Sprintf("max_delay: 1m, tls: {cert: %[1]s, key: %[1]s.key}", own))
	s.server = startServer(t, t.TempDir(), text)
	cmd := exec.Command(program, "call",
		"--to", fmt.Sprintf("sip:%s@%v;transport=tls", called, s.server.at("tls", s.carrier)),
		"--ca", ca.file, "--listen", s.carrier.String()+":0", "--seconds", "5", "--json")
	if out, err := cmd.CombinedOutput(); err != nil { // also if no audio came back
		t.Fatalf("%v\n%s", err, out)
	}
	if starts := bot.starts(); len(starts) != 1 || starts[0].Parameters["called"] != called {
		t.Errorf("the bot got %+v", starts)
	}
	s.server.stop()
}
