//go:build e2e

package e2e

import (
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
	"testing"
)

// TestMultipart has a carrier send its location and an ISUP message with its
// SDP: the agent gets what a datagram has room for, as it is, and the record says
// what was left out.
func TestMultipart(t *testing.T) {
	const location, isup = "application/pidf+xml", "application/isup"
	s := newPreparedStage(t)
	b := s.serve(setup{target: ", pass_parts: [" + location + ", " + isup + "], overflow: trim"})
	agent := s.sippAgent("caller_hangup")
	carrier := s.sippCarrier("multipart")
	carrier.leaves(agent, carrier.answered(1)...)
	if got, want := b.finish(hungUpByCaller)[0].Attempts[0].DroppedHeaders, []string{isup, "User-Agent", "Allow"}; !slices.Equal(got, want) {
		t.Errorf("left out was %q; want %q", got, want)
	}
	invite := agent.received("INVITE ", 1)[0]
	parts, sent := partsOf(t, invite), partsOf(t, carrier.sent("INVITE ", 1)[0])
	if len(parts) != 2 || !strings.HasPrefix(parts["application/sdp"], "v=0\r\n") {
		t.Fatalf("the agent got %d parts:\n%s", len(parts), invite.raw)
	}
	if parts[location] != sent[location] || parts[location] == "" {
		t.Errorf("%s has become %q; it was %q", location, parts[location], sent[location])
	}
	if !strings.Contains(invite.raw, "\r\nContent-ID: <here@e2e.example>\r\n") {
		t.Errorf("the part has no Content-ID:\n%s", invite.raw)
	}
}

// partsOf are the parts of a body by their types.
func partsOf(t *testing.T, m message) map[string]string {
	t.Helper()
	kind, params, err := mime.ParseMediaType(m.header("Content-Type"))
	if err != nil {
		t.Fatalf("%v:\n%s", err, m.raw)
	}
	if kind == "application/sdp" {
		return map[string]string{kind: m.body()}
	}
	all := map[string]string{}
	r := multipart.NewReader(strings.NewReader(m.body()), params["boundary"])
	for {
		p, err := r.NextRawPart()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatalf("%v:\n%s", err, m.raw)
		}
		text, err := io.ReadAll(p)
		must(t, err)
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		all[kind] = string(text)
	}
}
