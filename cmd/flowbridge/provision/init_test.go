package provision

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"flowbridge/cmd/flowbridge/cli"
)

// At a terminal, what no flag says is asked, and asked again until it is an answer. An answer that never comes writes nothing.
func TestInitAsks(t *testing.T) {
	for _, tt := range []struct {
		typed string
		code  int
		says  []string
		file  []string
	}{
		{
			"pbx\n192.168.10.2\nnobody\nretell\n\n+15075785607\n198.51.100.7\n\nagent_1\n\n", 0,
			[]string{"carrier or pbx [carrier]: ", "there is no such profile", "AGENT_ID: this needs an answer\nAGENT_ID: ", "printf %s SECRET > ", "ip saddr 192.168.10.2/32 udp dport 5060 accept"},
			[]string{"name: pbx", `sip: {advertise: "198.51.100.7", local_networks: [192.168.10.2/32]}`, `media: {advertise: "198.51.100.7"}`, "ringing: on-target", `agent_id: "agent_1"`},
		},
		{
			"\n203.0.113.0/24\ntrunk\n49\n\n\nsip.agents.test\n", 0,
			[]string{"flowbridge call --to sip:+15075785607@127.0.0.1"},
			[]string{"name: carrier", `country: "49"`, "@sip.agents.test"},
		},
		{
			"\n203.0.113.0/24 198.51.100.0/24, local\nsynthflow\nasia\neu\n\n\n\nagent_1\nworkspace_1\n\"key\"\nkey 1\nkey-1\n", 0,
			[]string{"region of the account: global, us, eu [global]: ", "write one of its regions: global, us, eu", "the editor of the agent shows it", "without quotes", "in one line", "!printf", "!key-1", "takes it with `flowbridge reload`"},
			[]string{"sources: [203.0.113.0/24, 198.51.100.0/24, local]", "region: eu", "@sip.eu.synthflow.ai:32681"},
		},
		{
			"\n203.0.113.0/24\nvapi\n\n\n\n\ndesk\n", 0, // no secret
			[]string{"region of the account: us, eu [us]: ", "!secret"}, []string{"region: us", "sip:desk@sip.vapi.ai"},
		},
		{
			"\ntwilio\ntrunk\n\n\n\nsip.agents.test\n", 0,
			[]string{"stun:HOST:PORT [auto]: ", "The start asks the cloud for the public address."},
			[]string{"name: twilio", "54.172.60.0/30", "media_sources: [168.86.128.0/18]", "advertise: auto", "trunk: twilio"},
		},
		{ // each answer is judged where it is asked for
			"\n203.0.113.7/24\n,\n\n203.0.113.0/24\ntrunk\n1\n(507) 578-5607\nno where\n198.51.100.7\nsip.agents.test\n", 0,
			[]string{"has address bits beyond its length", "write a network or an address", "this needs an answer", "is neither an IP address nor a host name"},
			[]string{`to: "^\\+?15075785607$"`, "sources: [203.0.113.0/24, local]"},
		},
		{"\n203.0.113.0/24\n", 1, []string{`no answer to "platform"`, "nothing was written"}, nil},
	} {
		file := filepath.Join(t.TempDir(), "flowbridge.yaml")
		c := cli.Root()
		c.AddCommand(initCommand(&firstConfig{
			terminal: func() bool { return true }, own: []netip.Addr{netip.MustParseAddr("10.0.0.5"), netip.IPv6LinkLocalAllNodes()},
		}))
		c.SetIn(strings.NewReader(tt.typed))
		var out bytes.Buffer
		if code := cli.Run(t.Context(), c, []string{"init", "--config", file}, &out, &out); code != tt.code {
			t.Errorf("%q: exit code %d; want %d\n%s", tt.typed, code, tt.code, &out)
		}
		text, _ := os.ReadFile(file)
		for _, words := range tt.says {
			if wrong, not := strings.CutPrefix(words, "!"); strings.Contains(out.String(), wrong) == not {
				t.Errorf("%q: says nothing of %q:\n%s", tt.typed, words, &out)
			}
		}
		for _, words := range tt.file {
			if !strings.Contains(string(text), words) {
				t.Errorf("%q: the file lacks %q:\n%s", tt.typed, words, text)
			}
		}
		secret := filepath.Join(filepath.Dir(file), "synthflow.secret")
		if st, err := os.Stat(secret); err == nil && (st.Mode() != 0o600 || read(t, secret) != "key-1\n") || (err == nil) != strings.Contains(tt.typed, "key-1") {
			t.Errorf("%q: the secret: %v, %v", tt.typed, st, err)
		}
		if tt.file == nil && text != nil {
			t.Errorf("%q: wrote\n%s", tt.typed, text)
		}
	}
}

// After the package's installation init replaces its file, which has no trunks, targets and routes, keeps the other
// sections, and gives the files to the service's group.
func TestInitAfterInstallation(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "flowbridge.yaml")
	text, err := os.ReadFile("../../../contrib/debian/flowbridge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	const marker = "# my own remark\n"
	if err := os.WriteFile(file, append(text, marker...), 0o644); err != nil {
		t.Fatal(err)
	}
	c, group := cli.Root(), os.Getgid()
	if group == 0 {
		group = 4711 // root may give files away
	}
	c.AddCommand(initCommand(&firstConfig{terminal: func() bool { return true }, group: group}))
	c.SetIn(strings.NewReader("key-1\n"))
	var out bytes.Buffer
	code := cli.Run(t.Context(), c, []string{
		"init", "--config", file, "--trunk", "carrier", "--source", "203.0.113.0/24", "--country", "1", "--number", "5075785607",
		"--platform", "retell", "--set", "AGENT_ID=agent_1", "--advertise", "198.51.100.7",
	}, &out, &out)
	const last = "\n    systemctl enable --now flowbridge\n    flowbridge call --to sip:+15075785607@127.0.0.1\n"
	if code != 0 || !strings.HasSuffix(out.String(), last) {
		t.Fatalf("exit code %d\n%s", code, &out)
	}
	got := read(t, file)
	for _, want := range []string{
		marker, "store: {path: /var/lib/flowbridge/flowbridge.db}", "  advertise: \"198.51.100.7\"\n  listen:", "name: retell",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the file lacks %q:\n%s", want, got)
		}
	}
	for _, name := range []string{file, filepath.Join(dir, "retell.secret")} {
		info, err := os.Stat(name)
		if err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
		if st, ok := info.Sys().(*syscall.Stat_t); !ok || int(st.Gid) != group {
			t.Errorf("%s belongs to group %d", name, st.Gid)
		}
	}
	if code = cli.Run(t.Context(), c, []string{"init", "--config", file, "--source", "192.0.2.1", "--platform", "trunk"}, &out, &out); code != 2 {
		t.Errorf("a second time: exit code %d", code)
	}
}

// Keys are added to a section however it is written.
func TestWithKeys(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "sip: {advertise: auto, local_networks: [a]}\n",
		"log: {}\n":                      "log: {}\nsip: {advertise: auto, local_networks: [a]}\n",
		"sip: {listen: [x]}\n":           "sip: {advertise: auto, local_networks: [a], listen: [x]}\n",
		"sip: # here\n    listen: [x]\n": "sip: # here\n    advertise: auto\n    local_networks: [a]\n    listen: [x]\n",
	} {
		if got := withKeys(text, "sip", "advertise: auto, local_networks: [a]"); got != want {
			t.Errorf("%q: %q; want %q", text, got, want)
		}
	}
}
