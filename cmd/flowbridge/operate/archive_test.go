package operate

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"flowbridge/cmd/flowbridge/cli"
)

// TestRecording: the parts of a recording come in the order of time, without what is no WAV file.
func TestRecording(t *testing.T) {
	items := `{"items": [
		{"file": "b.wav", "format": "wav", "started_at": "2026-03-02T12:01:00Z", "ended_at": "2026-03-02T12:02:00Z"},
		{"file": "a.wav", "format": "wav", "started_at": "2026-03-02T12:00:00Z", "ended_at": "2026-03-02T12:01:00Z"},
		{"file": "a.pcapng", "format": "pcapng", "started_at": "2026-03-02T12:00:00Z", "ended_at": "2026-03-02T12:01:00Z"},
		{"file": "c.wav", "format": "wav", "started_at": "2026-03-02T12:02:00Z", "ended_at": null}]}`
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, isFile := strings.CutPrefix(r.URL.Path, "/api/recordings/")
		switch {
		case isFile:
			fmt.Fprint(w, name)
		case strings.Contains(r.URL.Path, "none"):
			fmt.Fprint(w, `{"items": []}`)
		default:
			fmt.Fprint(w, items)
		}
	}))
	defer api.Close()
	for _, tt := range []struct{ url, id, want, wrong string }{
		{api.URL, "call", "[a.wav b.wav]", ""},
		{api.URL, "none", "[]", "has no WAV of call none"},
		{"foo", "call", "[]", `--api "foo": write http://127.0.0.1:8080`},
	} {
		c := &cobra.Command{}
		a := ArchiveFlags(c)
		if err := c.ParseFlags([]string{"--api", tt.url}); err != nil {
			t.Fatal(err)
		}
		parts, err := a.Recording(t.Context(), "", tt.id, func(_ string, file []byte) ([]byte, error) { return file, nil })
		if fmt.Sprintf("%s", parts) != tt.want || (err == nil) != (tt.wrong == "") ||
			err != nil && (!strings.Contains(err.Error(), tt.wrong) || cli.ExitCode(err) != 2) {
			t.Errorf("%+v: %s, %v", tt, parts, err)
		}
	}
}
