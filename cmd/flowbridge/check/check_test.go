package check

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/sim/siptest"
)

// roomy is a machine that nothing is wrong with.
func roomy() machine {
	settings := map[string]string{
		"net.core.rmem_max": "8388608", "net.ipv4.ip_local_port_range": "32768\t60999", "net.ipv4.ip_local_reserved_ports": "",
	}
	return machine{
		openFiles: func() (uint64, error) { return 1 << 20, nil },
		setting:   func(name string) (string, error) { return settings[name], nil },
		writable:  func(string) error { return nil },
		mode:      func(string) (fs.FileMode, error) { return 0o640, nil },
		addresses: func() ([]netip.Addr, error) {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.168.10.5"), netip.MustParseAddr("2001:db8::5")}, nil
		},
		relays:   func() error { return nil },
		outlives: func(string, string) error { return nil },
		slow:     func() error { return nil },
	}
}

// parsed is a configuration with its defaults.
func parsed(t *testing.T, text string) *config.Config {
	t.Helper()
	cfg, err := config.Parse("x.yaml", []byte(cmp.Or(text, "{}")), func(string) (string, bool) { return "hush-token", true })
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

func with(name, value string) machine {
	m := roomy()
	usual := m.setting
	m.setting = func(n string) (string, error) {
		if n == name {
			return value, nil
		}
		return usual(n)
	}
	return m
}

func TestMachineWarnings(t *testing.T) {
	thousand := roomy()
	thousand.openFiles = func() (uint64, error) { return 4*enoughCalls + spareFiles, nil }
	few := roomy()
	few.openFiles = func() (uint64, error) { return 1024, nil }
	unwritable, noFile, readOnly := roomy(), roomy(), roomy()
	unwritable.writable = func(string) error { return unix.EACCES }
	noFile.writable = func(path string) error {
		if path == "flowbridge.db" {
			return fs.ErrNotExist
		}
		return nil
	}
	readOnly.writable = func(path string) error {
		if path == "flowbridge.db" {
			return unix.EACCES
		}
		return nil
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte(strings.Repeat("t", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	dsn := filepath.Join(t.TempDir(), "dsn")
	if err := os.WriteFile(dsn, []byte("postgres://flowbridge@192.0.2.9/flowbridge?sslmode=verify-full"), 0o600); err != nil {
		t.Fatal(err)
	}
	seat := "\nfleet: {dsn_file: " + dsn + ", takeover: {seat: east, key_file: " + token + "}}"
	without := roomy()
	without.relays = func() error { return errors.New("CAP_BPF is missing") }
	mortal := roomy()
	mortal.outlives = func(dir, _ string) error { return errors.New(dir + " is not in a BPF file system") }
	slow := roomy()
	slow.slow = func() error { return errors.New("without CAP_PERFMON a packet takes longer") }
	gone, frozen, elsewhere, inside, shared := roomy(), roomy(), roomy(), roomy(), roomy()
	gone.writable = func(string) error { return unix.ENOENT }
	frozen.writable = func(string) error { return unix.EROFS }
	elsewhere.elsewhere = true
	inside.addresses = func() ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.168.10.5"), netip.MustParseAddr("fe80::1")}, nil
	}
	shared.addresses = func() ([]netip.Addr, error) { return []netip.Addr{netip.MustParseAddr("100.64.1.2")}, nil }
	const outside = "targets: [{name: t, kind: sip, uri: 'sip:{{.To.Number}}@sip.platform.example'}]"
	blind := machine{
		relays:    func() error { return errors.New("?") },
		openFiles: func() (uint64, error) { return 0, errors.New("?") },
		setting:   func(string) (string, error) { return "", errors.New("?") },
		writable:  func(string) error { return nil },
		mode:      func(string) (fs.FileMode, error) { return 0, errors.New("?") },
		addresses: func() ([]netip.Addr, error) { return nil, errors.New("?") },
	}
	two := roomy()
	two.processors = 2
	for name, tt := range map[string]struct {
		m    machine
		yaml string
		want []string // words of the one problem; nil: none

		stops bool // the start
	}{
		"nothing":                 {roomy(), "", nil, false},
		"nothing known":           {blind, "", nil, false},
		"files":                   {few, "", []string{"may open 1024 files", "room for 5692 calls", "takes 22896", "LimitNOFILE=22896"}, false},
		"files for 1,000 calls":   {thousand, "", nil, false},
		"files enough":            {few, "media: {ports: 10000-10399}\ntrunks: [{name: a, sources: [127.0.0.1]}]", nil, false},
		"capped calls":            {few, "trunks: [{name: a, sources: [127.0.0.1], max_calls: 200}]", nil, false},
		"connections":             {few, "sip: {listen: [\"tcp://127.0.0.1:5060\"]}\nmedia: {ports: 10000-10399}", []string{"1000 connections"}, false},
		"buffer":                  {with("net.core.rmem_max", "212992"), "", []string{"212992", "rmem_max=4194304"}, false},
		"ports overlap":           {roomy(), "media: {ports: 30000-39999}", []string{"ports 32768-39999", "ip_local_reserved_ports=32768-39999"}, false},
		"ports below":             {roomy(), "media: {ports: 10000-32767}", nil, false},
		"reserved":                {with("net.ipv4.ip_local_reserved_ports", "8080,30000-35000,35001-40000"), "media: {ports: 30000-39999}", nil, false},
		"reserved partly":         {with("net.ipv4.ip_local_reserved_ports", "30000-35000,35002-40000"), "media: {ports: 30000-39999}", []string{"32768-39999"}, false},
		"own address":             {roomy(), "sip: {listen: ['udp://192.168.10.5:5060', 'tcp://[2001:db8::5]:5060', 'udp://[::]:5060']}\nmedia: {listen: [127.0.0.9]}", nil, false},
		"no own address":          {roomy(), "sip: {listen: ['udp://203.0.113.7:5060']}", []string{"sip.listen: this machine has no address 203.0.113.7", "192.168.10.5, 2001:db8::5", "or 0.0.0.0"}, true},
		"address of a seat":       {roomy(), "sip: {listen: ['udp://203.0.113.7:5060']}\nmedia: {listen: [203.0.113.7]}" + seat, []string{"the node stands by for the seat east"}, false},
		"media elsewhere":         {roomy(), "media: {listen: ['10.0.0.9=203.0.113.7']}", []string{"media.listen: this machine has no address 10.0.0.9"}, true},
		"admin elsewhere":         {roomy(), "admin: {listen: '10.0.0.9:8080', token_file: " + token + "}", []string{"admin.listen: this machine has no address 10.0.0.9"}, true},
		"hook elsewhere":          {roomy(), "hooks: {listen: '10.0.0.9:8081', variables: {token_file: " + token + "}}", []string{"hooks.listen: this machine has no address 10.0.0.9"}, true},
		"directory":               {unwritable, "", []string{"store.path: the directory .", "permission denied"}, false},
		"no directory":            {gone, "store: {path: /srv/calls/x.db}", []string{"store.path: the directory /srv/calls", "no such file", "create it"}, true},
		"unit's directory":        {gone, "store: {path: /var/lib/flowbridge/x.db}", []string{"it is not there yet; the systemd unit makes it"}, false},
		"read-only disk":          {frozen, "", []string{"store.path: the directory .", "read-only"}, true},
		"elsewhere":               {elsewhere, "sip: {listen: ['udp://203.0.113.7:5060']}", nil, false},
		"moving address":          {with("net.ipv4.ip_nonlocal_bind", "1"), "sip: {listen: ['udp://203.0.113.7:5060']}", nil, false},
		"behind NAT":              {inside, outside, []string{"this machine has private addresses only (192.168.10.5), and target t is called at sip.platform.example", "sip.advertise and in media.advertise", "write 192.168.10.5 there"}, false},
		"behind NAT, by address":  {inside, strings.ReplaceAll(outside, "sip.platform.example", "8.8.8.8"), []string{"is called at 8.8.8.8"}, false},
		"behind a provider's NAT": {shared, outside, []string{"(100.64.1.2)"}, false},
		"inside, by name":         {inside, strings.ReplaceAll(outside, "sip.platform.example", "pbx.lan"), nil, false},
		"inside, by address":      {inside, strings.ReplaceAll(outside, "sip.platform.example", "10.1.2.3"), nil, false},
		"advertised":              {inside, outside + "\nsip: {advertise: 203.0.113.9}", nil, false},
		"public address":          {roomy(), outside, nil, false},
		"loopback":                {roomy(), outside + "\nsip: {listen: ['udp://127.0.0.1:5060']}\nmedia: {listen: [127.0.0.9]}", []string{"sip.listen, media.listen: loopback reaches this machine only, and target t is called at sip.platform.example"}, false},
		"loopback, too":           {inside, outside + "\nsip: {listen: ['udp://192.168.10.5:5060', 'tcp://127.0.0.1:5060']}", []string{"sip.advertise: this machine has private addresses only"}, false},
		"loopback, inside":        {roomy(), strings.ReplaceAll(outside, "sip.platform.example", "pbx.lan") + "\nsip: {listen: ['udp://127.0.0.1:5060']}", nil, false},
		"no file yet":             {noFile, "", nil, false},
		"kernel":                  {roomy(), "media: {engine: kernel}", nil, false},
		"no kernel":               {without, "media: {engine: kernel}", []string{"CAP_BPF is missing", "engine: auto"}, false},
		"kernel or not":           {without, "", nil, false},
		"no pins, not asked for":  {mortal, "media: {ports: 12000-12399}", nil, false},
		"no pins":                 {mortal, "media: {engine: kernel, ports: 12000-12399}", []string{"ends with the process: /sys/fs/bpf/flowbridge-0-0-0-0-12000 is not", "mount -t bpf"}, false},
		"barriers":                {slow, "", []string{"media.engine: without CAP_PERFMON", "CAP_PERFMON beside CAP_BPF"}, false},
		"no barriers":             {slow, "media: {engine: userspace}", nil, false},
		"no kernel, pins":         {mortal, "media: {engine: userspace}", nil, false},
		"transcoded":              {two, "media: {max_transcoded: 80}", nil, false},
		"transcoded too much":     {two, "media: {max_transcoded: 81}", []string{"max_transcoded: 81 calls", "2 processors carry 80", "leave it out for 40"}, false},
		"file":                    {readOnly, "", []string{"store.path: flowbridge.db"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := parsed(t, tt.yaml)
			stops, lacks := tt.m.problems(cfg)
			if got := len(stops) > 0; got != tt.stops {
				t.Errorf("stops the start: %t", got)
			}
			got := slices.Concat(stops, lacks)
			if len(got) != min(1, len(tt.want)) {
				t.Fatalf("got %+v", got)
			}
			for _, words := range tt.want {
				if all := got[0].Problem + "; " + got[0].Remedy; !strings.Contains(all, words) {
					t.Errorf("%q is not in %q", words, all)
				}
			}
		})
	}
}

// The directory of recordings is looked at as a start would make it.
func TestCheckWarnsOfRecordings(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                          "",
		filepath.Join(dir, "a/b/c"):  "",
		"recordings":                 "",
		file:                         "for " + file + ": not a directory",
		filepath.Join(file, "calls"): "not a directory",
		"/proc/x":                    "recording.path: /proc/x can't be written or made by this user, for /proc",
		"/sys/x/y":                   "for /sys:",
	} {
		cfg := parsed(t, "recording: {path: "+path+"}")
		got, _ := thisMachine().recordings(cfg)
		if len(got) != min(1, len(want)) {
			t.Errorf("%s: got %+v", path, got)
		} else if want != "" && (!strings.Contains(got[0].Problem, want) || got[0].Remedy == "") {
			t.Errorf("%s: got %+v; want %q", path, got, want)
		}
	}
	m := roomy()
	m.writable = func(path string) error {
		if path == "/" {
			return unix.EROFS
		}
		return fs.ErrNotExist
	}
	if got, _ := m.recordings(parsed(t, "recording: {path: /a/b}")); len(got) != 1 || !strings.Contains(got[0].Problem, "for /: read-only") {
		t.Errorf("nothing is there: got %+v", got)
	}
}

// A start says whose ports media.ports are too.
func TestServeWarnsOfPorts(t *testing.T) {
	for ports, want := range map[string]string{"30000-39999": "ip_local_reserved_ports=32768-39999", "10000-32767": ""} {
		cfg := parsed(t, "media: {ports: "+ports+"}")
		var out bytes.Buffer
		roomy().warnOfPorts(cfg, zerolog.New(&out))
		if got := out.String(); !strings.Contains(got, want) || (got == "") != (want == "") {
			t.Errorf("%s: got %q", ports, got)
		}
	}
}

// Transfers that would lead to nowhere are warned of.
func TestCheckWarnsOfDeadTransfers(t *testing.T) {
	const peers = `
trunks:
  - {name: callable, sources: [192.0.2.1], uri: "sip:{{.To.Number}}@192.0.2.1"}
  - {name: carrier, sources: [192.0.2.2]}
  - {name: other, sources: [192.0.2.3]}
targets:
  - {name: agent, kind: sip, uri: "sip:a@127.0.0.1", transfer: local, transfer_numbers: ["^1"]}
  - {name: plain, kind: sip, uri: "sip:a@127.0.0.1"}
routes:
`
	for routes, want := range map[string]string{
		"  - {trunk: callable, targets: [agent]}":                                         "",
		"  - {trunk: carrier, targets: [plain]}":                                          "",
		"  - {trunk: carrier, targets: [agent]}":                                          "those of trunk carrier have nowhere to go",
		"  - {targets: [plain, agent]}":                                                   "those of trunk carrier, other have nowhere to go",
		"  - {targets: [agent]}\n  - {target: agent, trunks: [callable]}":                 "",
		"  - {target: agent, targets: [agent]}":                                           "",
		"  - {trunk: carrier, targets: [plain]}\n  - {trunk: callable, targets: [agent]}": "",
	} {
		cfg := parsed(t, peers+routes)
		got := deadTransfers(cfg)
		if len(got) != min(1, len(want)) || (want != "" && !strings.Contains(got[0].Problem, want)) {
			t.Errorf("%s: got %+v; want %q", routes, got, want)
		}
	}
}

// A private key that everybody may read is warned of once, wherever it is named.
func TestMachineWarnsOfOpenKeys(t *testing.T) {
	const target = `{name: %s, kind: sip, uri: "sip:a@127.0.0.1"}`
	cfg := parsed(t, "targets: ["+fmt.Sprintf(target+", "+target+", "+target+", "+target, "a", "b", "c", "d")+"]")
	cfg.SIP.TLS.Key = "own.key" // without a file, which a whole configuration would need
	for i, key := range []string{"", "open.key", "open.key", "gone.key"} {
		cfg.Targets[i].TLS.Key = key
	}
	m := roomy()
	m.mode = func(path string) (fs.FileMode, error) {
		switch path {
		case "own.key":
			return 0o640, nil
		case "open.key":
			return 0o644, nil
		}
		return 0, fs.ErrNotExist
	}
	got := m.keys(cfg)
	if len(got) != 1 || !strings.Contains(got[0].Problem, "open.key (mode 0644)") || !strings.Contains(got[0].Remedy, "chmod o-r open.key") {
		t.Errorf("got %+v", got)
	}
}

// Warnings are no failure, and errors are one, as text and as JSON.
func TestCheckJSON(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flowbridge.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("trunks: [{name: a, sources: [192.0.2.1]}]\ntargets: [{name: t, kind: sip, uri: \"sip:1@192.0.2.2\"}]\nroutes: [{targets: [t]}]\n")
	var out bytes.Buffer
	if err := check(&out, file, with("net.core.rmem_max", "1"), false, nil); err != nil || !strings.HasPrefix(out.String(), "warning: net.core.rmem_max is 1") {
		t.Errorf("got %v, %s", err, out.String())
	}
	out.Reset()
	var got checked
	if err := check(&out, file, with("net.core.rmem_max", "1"), true, nil); err != nil {
		t.Error(err)
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !got.Valid || len(got.Warnings) != 1 || len(got.Errors) != 0 {
		t.Errorf("got %v\n%s", err, out.String())
	}
	gone := roomy()
	gone.writable = func(string) error { return unix.ENOENT }
	out.Reset()
	if err := check(&out, file, gone, false, nil); cli.ExitCode(err) != cli.ExitFailed || !strings.HasPrefix(out.String(), "error: store.path: the directory . ") ||
		strings.Contains(out.String(), ": valid") {
		t.Errorf("what stops the start: %v, %s", err, out.String())
	}
	out.Reset()
	got = checked{}
	if err := check(&out, file, gone, true, nil); cli.ExitCode(err) != cli.ExitFailed {
		t.Errorf("what stops the start: %v", err)
	}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || !got.Valid || len(got.Errors) != 1 || got.Errors[0].Line != 0 {
		t.Errorf("what stops the start: %v\n%s", err, out.String())
	}
	write("")
	out.Reset()
	if err := check(&out, file, roomy(), false, nil); cli.ExitCode(err) != cli.ExitUsage || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty file: %v, %s", err, out.String())
	}
	write("{}")
	if err := check(&out, file, roomy(), false, nil); err != nil || !strings.HasPrefix(out.String(), "warning: there are no trunks") {
		t.Errorf("no sections: %v, %s", err, out.String())
	}
	write("log: {level: loud}\nrotues: []\n")
	out.Reset()
	err := check(&out, file, roomy(), true, nil)
	if cli.ExitCode(err) != cli.ExitUsage {
		t.Errorf("got %v", err)
	}
	got = checked{}
	if err := json.Unmarshal(out.Bytes(), &got); err != nil || got.Valid || len(got.Errors) != 2 || got.Errors[0].Line != 1 || got.Errors[0].Key != "log.level" {
		t.Errorf("got %v\n%s", err, out.String())
	}
}

// TestPagesOfOtherSystems checks each configuration of docs/interop as an operator
// would who has pasted it.
func TestPagesOfOtherSystems(t *testing.T) {
	pages, err := filepath.Glob("../../../docs/interop/*.md")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(secret, []byte("secret\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	authority := siptest.NewAuthority(t, "ca")
	_, _, cert := authority.Sign("flowbridge", nil)
	files := strings.NewReplacer("/etc/flowbridge/cert.pem", cert, "/etc/flowbridge/key.pem", cert+".key", "/etc/flowbridge/ca.pem", authority.File)
	secrets := regexp.MustCompile(`/run/secrets/[a-z-]+`)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		blocks := regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllSubmatch(text, -1)
		if len(blocks) == 0 {
			t.Errorf("%s shows no configuration", page)
		}
		for i, b := range blocks {
			file := filepath.Join(t.TempDir(), "flowbridge.yaml")
			if err := os.WriteFile(file, []byte(files.Replace(secrets.ReplaceAllString(string(b[1]), secret))), 0o600); err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			if err := check(&out, file, roomy(), false, nil); err != nil || strings.Contains(out.String(), "warning:") {
				t.Errorf("%s, configuration %d: %v\n%s", filepath.Base(page), i+1, err, out.String())
			}
		}
	}
}
