package node

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/config"
	"flowbridge/store/fleet"
	"flowbridge/store/record"
)

// damagedLadder is a stored ladder that can't be read.
type damagedLadder string

func (d damagedLadder) ID() string           { return string(d) }
func (damagedLadder) Encode(b []byte) []byte { return append(b, "no ladder"...) }
func (damagedLadder) Release()               {}

// TestEraseSaysWhatItDoesNotSearch: messages that an erasure does not search are listed in its answer.
func TestEraseSaysWhatItDoesNotSearch(t *testing.T) {
	dir := t.TempDir()
	cfg, err := config.Parse("x.yaml", []byte(`
sip: {listen: ["udp://127.0.0.1:0"], max_delay: 1m}
media: {listen: [127.0.0.1]}
trunks: [{name: carrier, sources: [127.0.0.1]}]
targets: [{name: agent, kind: sip, uri: "sip:1@127.0.0.1"}]
routes: [{targets: [agent]}]
admin: {listen: "127.0.0.1:0"}
recording: {path: "`+filepath.Join(dir, "rec")+`", format: [wav, pcapng]}
store: {path: "`+filepath.Join(dir, "f.db")+`", ladders: 7d}
`), os.LookupEnv)
	must(t, err)
	n, err := Start(t.Context(), cfg, zerolog.Nop(), Options{})
	must(t, err)
	defer n.Close()
	const file = "2026/11/28/01a21a99-2a8f-7737-ba25-9e1253286d8a.pcapng"
	must(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, "rec", file)), 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "rec", file), []byte("x"), 0o600))
	now := record.TimeOf(time.Now())
	for _, r := range []record.Record{
		{ID: "bare", StartedAt: now, EndedAt: now, Recordings: []record.Recording{{File: file, Format: "pcapng"}}},
		{ID: "named", StartedAt: now, EndedAt: now, SIPCallID: "15557654321@h"},
	} {
		must(t, n.store.Put(t.Context(), r))
	}
	for _, id := range []string{"1", "2", "3"} {
		n.ladders.kept.Put(damagedLadder(id))
	}
	e := &eraser{Node: n}
	e.begun.Store(true)
	erase := func(number string) string {
		t.Helper()
		done, err := e.Erase(t.Context(), "test", admin.ErasureRequest{Number: number, DryRun: true})
		must(t, err)
		if named := number == "15557654321"; done.Mentioned != 0 || (done.Calls == 1) != named {
			t.Errorf("%s: %+v", number, done)
		}
		return strings.Join(done.Unreached, "\n")
	}
	said := erase("15557654321")
	for _, want := range []string{"ladders that can't be read: 3", "pcapng recordings of 1 calls"} {
		if !strings.Contains(said, want) {
			t.Errorf("no %q in\n%s", want, said)
		}
	}
	if said := erase("123456"); !strings.Contains(said, "fewer than 7 digits") || strings.Contains(said, "pcapng") {
		t.Error(said)
	}
	n.ladders.kept.Put(damagedLadder("4"))
	_, err = n.ladders.kept.Erase(t.Context(), []string{"1", "4"}) // once those that wait are written
	must(t, err)
	m := messages{eraser: e, subject: fleet.Subject{Is: func(string) bool { return false }}, done: &admin.Erasure{}}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	m.search(ctx)
	if said := strings.Join(m.done.Unreached, "\n"); !strings.Contains(said, "messages of 2 older calls") {
		t.Error(said)
	}
}
