package explain

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestBot: the upgrade that is shown has a signature only if there is a token that signs, and hides it.
func TestBot(t *testing.T) {
	dir := t.TempDir()
	token := filepath.Join(dir, "token")
	if err := os.WriteFile(token, []byte("tok-secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		more  string
		signs bool
	}{
		"no twilio":          {"", false},
		"account alone":      {"twilio: {account_sid: AC00112233445566778899aabbccddeeff}", false},
		"account that signs": {"twilio: {account_sid: AC00112233445566778899aabbccddeeff, auth_token_file: " + token + "}", true},
	} {
		file := filepath.Join(dir, "flowbridge.yaml")
		text := "trunks: [{name: carrier, sources: [192.0.2.7]}]\n" +
			"targets: [{name: bot, kind: websocket, url: \"wss://bot.example.com/media\", parameters: {a: b}, " + tt.more + "}]\n" +
			"routes: [{targets: [bot]}]\n"
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, code := run(t, "explain", "-c", file, "--trunk", "carrier", "--from", "+15075550100", "--to", "+15075785607")
		if code != 0 || !strings.Contains(out, "GET wss://bot.example.com/media") || !strings.Contains(out, `"customParameters":{"a":"b"}`) {
			t.Errorf("%s: exit code %d\n%s", name, code, out)
		}
		if signs := strings.Contains(out, "X-Twilio-Signature: [redacted]"); signs != tt.signs || strings.Contains(out, "tok-secret") {
			t.Errorf("%s: signature %v; want %v\n%s", name, signs, tt.signs, out)
		}
	}
}

// TestPreparedBot: the request before a bot's is shown, too, and what the bot gets of its sample answer.
func TestPreparedBot(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flowbridge.yaml")
	text := `
trunks: [{name: carrier, sources: [192.0.2.7]}]
targets:
- name: bot
  kind: websocket
  url: 'wss://bot.example.com/{{.Prepare.JSON "room"}}'
  parameters: {session: "{{.Prepare.CallID}}"}
  prepare: {url: "https://api.example.com/calls", id: id, body: {to: "{{.To.Number}}"}, example: {id: s-1, room: lobby}}
routes: [{targets: [bot]}]
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := run(t, "explain", "-c", file, "--trunk", "carrier", "--from", "+15075550100", "--to", "+15075785607")
	rest := out
	for _, want := range []string{
		"POST https://api.example.com/calls", `{"to":"+15075785607"}`, "success: any 2xx, and the id in id", "no success within 3s",
		"GET wss://bot.example.com/lobby", `"customParameters":{"session":"s-1"}`, "INVITE sip:",
	} {
		var found bool
		if _, rest, found = strings.Cut(rest, want); !found {
			t.Fatalf("exit code %d, no %q after what is before it in\n%s", code, want, out)
		}
	}
}
