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
// SDP: the agent gets those that it may, as they are.
func TestMultipart(t *testing.T) {
	t.Parallel()
	const location, isup = "application/pidf+xml", "application/isup"
	for name, c := range map[string]struct {
		types, target   string
		passed, dropped []string
	}{
		"none":     {"", "", nil, nil},
		"location": {location, ", budget: {size: 1200}", []string{location}, nil},
		"both":     {location + ", " + isup, ", budget: {size: 1400}", []string{location, isup}, nil},
		"no_room":  {location + ", " + isup, ", overflow: trim", []string{location}, []string{isup, "User-Agent", "Allow"}},
	} {
		passed := c.passed
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			s.prepareCalls()
			b := s.serve(setup{target: ", pass_parts: [" + c.types + "]" + c.target})
			one, two := s.newPhone(s.carrier), s.newPhone(s.platform)
			agent := s.sippAgent("caller_hangup", two.key()...)
			carrier := s.sippCarrier("multipart", one.key()...)
			talk := s.talking(one, two, carrier, agent)
			talk.both()
			carrier.proceed(talk.id(carrier))
			carrier.finish()
			agent.finish()
			if r := b.finish(hungUpByCaller)[0]; !slices.Equal(r.Attempts[0].DroppedHeaders, c.dropped) {
				t.Errorf("left out was %q; want %q", r.Attempts[0].DroppedHeaders, c.dropped)
			}
			invite := agent.received("INVITE ", 1)[0]
			parts := partsOf(t, invite)
			sent := partsOf(t, carrier.sent("INVITE ", 1)[0])
			if len(parts) != 1+len(passed) || !strings.HasPrefix(parts["application/sdp"], "v=0\r\n") {
				t.Fatalf("the agent got %d parts:\n%s", len(parts), invite.raw)
			}
			for _, kind := range passed {
				if parts[kind] != sent[kind] || parts[kind] == "" {
					t.Errorf("%s has become %q; it was %q", kind, parts[kind], sent[kind])
				}
			}
			if slices.Contains(passed, location) && !strings.Contains(invite.raw, "\r\nContent-ID: <here@e2e.example>\r\n") {
				t.Errorf("the part has no Content-ID:\n%s", invite.raw)
			}
		})
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
		if err != nil {
			t.Fatal(err)
		}
		kind, _, _ := mime.ParseMediaType(p.Header.Get("Content-Type"))
		all[kind] = string(text)
	}
}
