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
