//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	botAccount = "AC00112233445566778899aabbccddeeff"
	botToken   = "auth-token-of-the-account"
)

// serveOrdered starts the B2BUA with a bot whose orders it takes: as commands, and as Twilio does. Its calls are
// recorded. A number is transferred to an address.
func (s *stage) serveOrdered(bot *mediaBot, callee string) (commands, string) {
	s.Helper()
	dir := s.TempDir()
	at := s.freeTCP(s.carrier)
	tool := commands{fmt.Sprintf("http://%v/commands", at), "an-agents-token-of-some-length"}
	for name, text := range map[string]string{"tool": tool.token, "twilio": botToken} {
		must(s, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	text := s.botConfig("udp://"+s.freePort(s.b2bua).String(), bot.url(), fmt.Sprintf(
		`, transfer_numbers: ["^\\+1507"], twilio: {account_sid: %s, auth_token_file: %q}`, botAccount,
		filepath.Join(dir, "twilio")))
	text = strings.Replace(text, "{name: carrier,",
		fmt.Sprintf(`{name: carrier, uri: "sip:{{.To.Number}}@%s",`, callee), 1)
	text = strings.Replace(text, "{targets: [bot]}", "{targets: [bot], record: always}", 1)
	text += fmt.Sprintf("recording: {path: recordings}\n"+
		"hooks: {listen: %q, commands: [{name: tool, token_file: %q, targets: [bot]}]}\n", at, filepath.Join(dir, "tool"))
	s.server = startServer(s.T, dir, text)
	return tool, fmt.Sprintf("http://%v", at)
}

// orders sends a command that must be carried out.
func (c commands) orders(t *testing.T, call, do, to string) {
	t.Helper()
	if status, words := c.says(t, map[string]any{"call": call, "do": do, "to": to}); status != http.StatusOK {
		t.Fatalf("%s: %d %s", do, status, words)
	}
}

// TestBotOrders: a bot gets keys as events, and silence of a caller who sends nothing or is on hold. It transfers the
// caller by a command, its socket is closed with stop, and the recording has its words.
func TestBotOrders(t *testing.T) {
	s := newStage(t)
	bot := newMediaBot(t)
	at := s.freePort(s.stranger)
	taken := make(chan *partyCall, 1)
	s.party(at, "PCMU", func(c *partyCall) {
		c.answers("200 OK", c.sdp())
		<-c.acked
		taken <- c
		c.speaks(0, func(int) []byte { return slices.Repeat([]byte{loud}, frame) }, patience)
	})
	tool, _ := s.serveOrdered(bot, at.String())
	c := s.newCallers(1)
	caller := c.calls[0]
	mute := func(on bool) {
		caller.mu.Lock()
		defer caller.mu.Unlock()
		caller.mute = on
	}
	c.hear()
	caller.mu.Lock()
	caller.press = []byte{4, 10, 11} // 4 * #
	caller.mu.Unlock()
	bot.has(t, "the bot has the keys", func() bool { return bot.keys == "4*#" })
	mute(true)
	bot.has(t, "the bot hears silence of a silent caller", func() bool { return bot.quiet >= 50 })
	mute(false)
	c.hear()

	call := bot.starts()[0].CallSID
	tool.orders(t, call, "hold", "")
	bot.has(t, "the bot hears silence of a held caller", func() bool { return bot.quiet >= 50 })
	tool.orders(t, call, "resume", "")
	c.hear()

	tool.orders(t, call, "transfer", human)
	callee := <-taken
	bot.has(t, "the bot is told that the call has ended", func() bool { return bot.stopped == 1 })
	eventually(t, "the bot's socket is closed", func() bool { return bot.open.Load() == 0 })
	c.hear()
	eventually(t, "the other party hears the caller", func() bool { _, heard := callee.counts(); return heard >= 25 })
	c.hangUp()
	eventually(t, "the call has a record", func() bool { return len(s.server.cdrs()) == 1 })
	r := s.server.cdrs()[0]
	if r.Cause != "caller_hangup" || len(r.Attempts) != 2 || r.SynthflowCallID != call || len(r.Recordings) != 1 {
		t.Fatalf("cause %s, attempts %+v, id %s, recordings %+v", r.Cause, r.Attempts, r.SynthflowCallID, r.Recordings)
	}
	for side, samples := range channelsOf(t, s.server.download(r.Recordings[0])) {
		if n := len(samples) - len(slices.DeleteFunc(slices.Clone(samples),
			func(v int16) bool { return v < -1000 || v > 1000 })); n < 8000 {
			t.Errorf("side %d is heard in %d samples of %d", side, n, len(samples))
		}
	}
	s.server.stop()
}

func channelsOf(t *testing.T, wav []byte) [2][]int16 {
	t.Helper()
	left, right := channels(t, wav)
	return [2][]int16{left, right}
}

// TestBotHangsUpByHTTP: a bot ends its call as with Twilio's API, and another account can't.
func TestBotHangsUpByHTTP(t *testing.T) {
	s := newStage(t)
	bot := newMediaBot(t)
	_, hooks := s.serveOrdered(bot, s.freePort(s.stranger).String())
	c := s.newCallers(1)
	c.hear()
	post := func(password, status string) int {
		path := fmt.Sprintf("%s/2010-04-01/Accounts/%s/Calls/%s.json", hooks, botAccount, bot.starts()[0].CallSID)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, path,
			strings.NewReader(url.Values{"Status": {status}}.Encode()))
		must(t, err)
		req.SetBasicAuth(botAccount, password)
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		res, err := client.Do(req)
		must(t, err)
		must(t, res.Body.Close())
		return res.StatusCode
	}
	if got := [2]int{post("another", "completed"), post(botToken, "canceled")}; got != [2]int{401, 400} {
		t.Errorf("a wrong token and another status get %v; want 401, 400", got)
	}
	c.hear()
	if got := post(botToken, "completed"); got != http.StatusOK {
		t.Fatalf("the order gets %d", got)
	}
	eventually(t, "the call has a record", func() bool { return len(s.server.cdrs()) == 1 })
	bot.has(t, "the bot is told that the call has ended", func() bool { return bot.stopped == 1 })
	if r := s.server.cdrs()[0]; r.Cause != "agent_hangup" || r.EndedBy != "agent" {
		t.Errorf("cause %s, ended by %s", r.Cause, r.EndedBy)
	}
	c.end()
	s.server.stop()
}
