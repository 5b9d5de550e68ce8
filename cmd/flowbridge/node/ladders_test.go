package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/config"
	"flowbridge/store"
)

// TestLaddersOfNoUse: with a file of ladders that is of no use, the server starts and says what to do.
func TestLaddersOfNoUse(t *testing.T) {
	for name, tt := range map[string]struct {
		file, ladders string
		logged        string
		none          string // why a call has no ladder
	}{
		"damaged":      {"no database at all", "7d", "it is set aside", "this call has no ladder"},
		"another file": {"", "7d", "calls continue without ladders", "can't be read"},
		"switched off": {"no database at all", "off", "", "no ladders are kept"},
	} {
		dir := t.TempDir()
		db := filepath.Join(dir, "f.db")
		at := store.LaddersPath(db)
		err := os.WriteFile(at, []byte(strings.Repeat(tt.file, 100)), 0o600)
		if tt.file == "" {
			err = errors.Join(os.Remove(at), os.Mkdir(at, 0o700))
		}
		must(t, err)
		cfg, err := config.Parse("x.yaml", []byte(`
sip: {listen: ["udp://127.0.0.1:0"], max_delay: 1m}
media: {listen: [127.0.0.1]}
trunks: [{name: carrier, sources: [127.0.0.1]}]
targets: [{name: agent, kind: sip, uri: "sip:1@127.0.0.1"}]
routes: [{targets: [agent]}]
admin: {listen: "127.0.0.1:0"}
store: {path: "`+db+`", ladders: `+tt.ladders+`}
`), os.LookupEnv)
		must(t, err)
		var log bytes.Buffer
		n, err := Start(t.Context(), cfg, zerolog.New(zerolog.SyncWriter(&log)), Options{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, err = n.Ladder(t.Context(), "x")
		if _, ok := errors.AsType[*admin.NoLadderError](err); !ok || !strings.Contains(err.Error(), tt.none) {
			t.Errorf("%s: %v", name, err)
		}
		if err := n.Close(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if !strings.Contains(log.String(), tt.logged) || strings.Contains(log.String(), `"level":"error"`) {
			t.Errorf("%s: logged\n%s", name, log.String())
		}
	}
}
