package admin

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
)

// Ladder holds the messages of a call. It marshals to JSON.
type Ladder interface {
	// Pcapng writes the messages in a format for Wireshark.
	Pcapng(w io.Writer) error
}

// Ladders provides the ladders of calls, live or finished.
type Ladders interface {
	// Ladder returns the ladder of a call. A *NoLadderError says why there is none.
	Ladder(ctx context.Context, id string) (Ladder, error)
}

// NoLadderError says why a call has no ladder.
type NoLadderError struct{ Reason, Remedy string }

// Error returns the reason and the remedy.
func (e *NoLadderError) Error() string { return e.Reason + "; " + e.Remedy }

// ladder shows the messages of a call.
func (a *api) ladder(w http.ResponseWriter, r *http.Request) {
	if l, ok := a.findLadder(w, r); ok {
		a.write(w, http.StatusOK, l)
	}
}

// findLadder returns the ladder of a path. If there is none, it answers the request.
func (a *api) findLadder(w http.ResponseWriter, r *http.Request) (Ladder, bool) {
	asked := r.PathValue("id")
	l, err := a.Ladders.Ladder(r.Context(), asked)
	if none, ok := errors.AsType[*NoLadderError](err); ok {
		c, other, known := a.locate(w, r)
		switch {
		case known && !other && c.ID != asked:
			r.SetPathValue("id", c.ID)
			return a.findLadder(w, r)
		case known && (!other || !a.elsewhere(w, r, c.Node)): // otherwise it has been answered
			a.fail(w, http.StatusNotFound, none.Reason, none.Remedy)
		}
		return nil, false
	}
	if err != nil {
		a.broken(w, r, err)
		return nil, false
	}
	return l, true
}

// readme explains the contents of a capsule.
const readme = `One call of Flowbridge.

call.json        its record: who, when, how long, why it ended
ladder.json      what was said: SIP of each leg, HTTP between, decisions and their reasons; figures of the media
messages.pcapng  the same messages for Wireshark and tshark

Secrets are hidden by asterisks: passwords, keys, tokens, and keys that the caller pressed while they were masked.
Numbers and names of the parties are not.

In messages.pcapng each SIP message is a UDP datagram, also one that went over TCP or TLS, so that it is dissected
without keys. HTTP messages are TCP segments to port 80, also those that went over TLS. Message texts that are longer
than what is kept are cut.
`

// capsule answers with one file that has everything about a call.
func (a *api) capsule(w http.ResponseWriter, r *http.Request) {
	l, ok := a.findLadder(w, r)
	if !ok {
		return
	}
	c, ok := a.find(w, r)
	if !ok {
		return
	}
	var file bytes.Buffer
	if err := pack(&file, c, l); err != nil {
		a.broken(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/zip")
	h.Set("Content-Disposition", `attachment; filename="flowbridge-`+fileName(c.ID)+`.zip"`)
	_, _ = w.Write(file.Bytes()) // the client may be gone
}

func pack(to io.Writer, c Call, l Ladder) error {
	z := zip.NewWriter(to)
	asJSON := func(v any) func(io.Writer) error {
		return func(w io.Writer) error {
			e := json.NewEncoder(w)
			e.SetIndent("", "  ")
			return e.Encode(v)
		}
	}
	for _, f := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{"README.txt", func(w io.Writer) error { _, err := io.WriteString(w, readme); return err }},
		{"call.json", asJSON(c)},
		{"ladder.json", asJSON(l)},
		{"messages.pcapng", l.Pcapng},
	} {
		w, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: c.StartedAt.Time})
		if err != nil {
			return err
		}
		if err := f.write(w); err != nil {
			return err
		}
	}
	return z.Close()
}

// fileName makes an id safe for use in a file name.
func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '_'
	}, id)
}
