package httpd

import (
	"bytes"
	"encoding/json"
	stdlog "log"
	"strings"
	"testing"

	"github.com/rs/zerolog"
)

// Messages of the standard library become JSON lines of limited length, and their number is
// limited.
func TestStandardLog(t *testing.T) {
	was, flags := stdlog.Writer(), stdlog.Flags()
	t.Cleanup(func() { stdlog.SetOutput(was); stdlog.SetFlags(flags) })
	var out bytes.Buffer
	TakeStandardLog(zerolog.New(&out))
	for range 10 * maxStrange {
		stdlog.Print("Unsolicited response\n{\"level\":\"error\"}\x1b[31m" + strings.Repeat("x", 10*maxLine))
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	if len(lines) == 0 || len(lines) > 2*maxStrange {
		t.Errorf("%d lines", len(lines))
	}
	for _, line := range lines {
		var entry struct{ Level, Message, Detail string }
		if err := json.Unmarshal(line, &entry); err != nil || entry.Level != "warn" || entry.Message != "http server" || len(entry.Detail) > maxLine ||
			bytes.ContainsRune(line, '\x1b') {
			t.Fatalf("%v: %.200s", err, line)
		}
	}
}
