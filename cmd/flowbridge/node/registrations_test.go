package node

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"flowbridge/config"
	"flowbridge/internal/pgtest"
	"flowbridge/store"
	"flowbridge/store/record"
)

// TestStartOnADiskThatTakesNothing: a process takes calls, and knows who has registered, although its disk is read-only. What it
// can't read there, it knows once it can.
func TestStartOnADiskThatTakesNothing(t *testing.T) {
	for name, later := range map[string]bool{"at once": false, "later": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			if err := unix.Mount("flowbridge", dir, "tmpfs", 0, "size=128m"); err != nil {
				t.Skipf("needs root, for a disk of its own: %v", err)
			}
			t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
			path := filepath.Join(dir, "f.db")
			kept, err := store.Open(t.Context(), path)
			must(t, err)
			kept.KeepBindings("trunk phone", []record.Binding{{Contact: "sip:a@127.0.72.5", Transport: "udp", Expires: time.Now().Add(time.Hour)}})
			must(t, kept.Close())
			if later {
				must(t, os.WriteFile(path+"-wal", []byte("a log that has no index"), 0o600))
			}
			remount := func(flags uintptr) {
				t.Helper()
				must(t, unix.Mount("", dir, "", unix.MS_REMOUNT|flags, ""))
			}
			remount(unix.MS_RDONLY)
			cfg, err := config.Parse("f.yaml", fmt.Appendf(nil, diskConfig, path), func(string) (string, bool) { return "secret", true })
			must(t, err)
			read := make(chan struct{}, 1)
			n, err := Start(t.Context(), cfg, zerolog.New(io.Discard).Hook(zerolog.HookFunc(func(_ *zerolog.Event, _ zerolog.Level, message string) {
				if message == "read the earlier registrations" {
					read <- struct{}{}
				}
			})), Options{})
			must(t, err)
			if n.store.Err() == nil {
				t.Error("the disk takes something")
			}
			if later {
				remount(0)
				<-read
			}
			if got := n.figures.registrations().Incoming; len(got) != 1 || got[0].Contact != "sip:a@127.0.72.5" {
				t.Errorf("%+v have registered", got)
			}
			remount(0)
			must(t, n.Close())
		})
	}
}

const diskConfig = `
sip: {listen: ["udp://127.0.0.1:0"]}
media: {listen: [127.0.0.1]}
trunks: [{name: phone, auth: {username: phone, password_env: PASSWORD}, registrar: {}}]
targets: [{name: one, kind: sip, uri: "sip:a@127.0.0.3"}]
routes: [{trunk: phone, targets: [one]}]
store: {path: %q}
admin: {listen: "127.0.0.1:0"}
`

// Who has registered at a seat is known to its next owner, and to the other nodes as registered there.
func TestRegistrationsGoOver(t *testing.T) {
	url, dir := pgtest.Shared(t).Database(), t.TempDir()
	for name, text := range map[string]string{"dsn": url, "key": strings.Repeat("k", 32)} {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(text+"\n"), 0o600))
	}
	start := func(name, seat string) *Node {
		t.Helper()
		text := fmt.Sprintf(diskConfig+"fleet: {dsn_file: %[2]s/dsn, node: %[3]s, takeover: {seat: %[4]s, key_file: %[2]s/key}}\n",
			filepath.Join(dir, name+".db"), dir, name, seat)
		cfg, err := config.Parse("f.yaml", []byte(text), func(string) (string, bool) { return "secret", true })
		must(t, err)
		n, err := Start(t.Context(), cfg, zerolog.Nop(), Options{beginAnew: func() {}})
		must(t, err)
		return n
	}
	a, west := start("a", "east"), start("w", "west")
	now := time.Now()
	a.server.Registrar().Restore(now, map[string][]record.Binding{
		"trunk phone": {{Contact: "sip:a@127.0.72.5", Transport: "udp", Registered: now, Expires: now.Add(time.Hour)}},
	})
	must(t, a.seat.Flush(t.Context()))
	must(t, a.Close())
	b := start("b", "east")
	if got := b.figures.registrations().Incoming; len(got) != 1 || got[0].Contact != "sip:a@127.0.72.5" {
		t.Errorf("the next owner has %+v", got)
	}
	must(t, b.seat.Flush(t.Context()))
	if got, err := west.fleet.Bindings(t.Context(), "trunk phone"); err != nil || len(got) != 1 || got[0].Node != "b" {
		t.Errorf("the other seat finds %+v, %v", got, err)
	}
	must(t, b.Close())
	must(t, west.Close())
}
