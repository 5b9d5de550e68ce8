// Package compose tests docker-compose.yml, without Docker.
package compose

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

// load reads the file as Docker Compose does: by its schema, with its own defaults.
func load(t *testing.T, profiles ...string) *types.Project {
	t.Helper()
	file := filepath.Join(root, "docker-compose.yml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, ConfigFiles: []types.ConfigFile{{Filename: file, Content: text}}, Environment: types.Mapping{},
	}, func(o *loader.Options) { o.Profiles = profiles; o.SetProjectName("flowbridge", true) })
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestServices(t *testing.T) {
	for _, tt := range []struct {
		profiles []string
		want     string
	}{
		{nil, "flowbridge grafana platform prometheus"},
		{[]string{"postgres"}, "flowbridge grafana node-1 node-2 platform postgres prometheus"},
		{[]string{"kernel"}, "flowbridge grafana kernel platform prometheus"},
	} {
		names := load(t, tt.profiles...).ServiceNames()
		slices.Sort(names)
		if got := strings.Join(names, " "); got != tt.want {
			t.Errorf("profiles %v: %s; want %s", tt.profiles, got, tt.want)
		}
	}
}

// Whatever is mounted is there, all are on the host's network, and images have a version.
func TestParts(t *testing.T) {
	p := load(t, "postgres", "kernel")
	for name, s := range p.Services {
		if s.NetworkMode != "host" {
			t.Errorf("%s is on the network %q", name, s.NetworkMode)
		}
		if s.Build == nil && (!strings.Contains(s.Image, ":") || strings.HasSuffix(s.Image, ":latest")) {
			t.Errorf("%s: the image %q has no version", name, s.Image)
		}
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if _, err := os.Stat(v.Source); err != nil && v.Source != "/sys/fs/bpf" {
				t.Errorf("%s: %v", name, err)
			}
			if !v.ReadOnly && v.Source != "/sys/fs/bpf" {
				t.Errorf("%s may write %s", name, v.Source)
			}
		}
	}
	for name, s := range p.Services {
		if s.Build == nil { // another's image
			continue
		}
		if s.ReadOnly != (len(s.Configs) == 0) || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges") {
			t.Errorf("%s: read_only %v, cap_drop %v, security_opt %v", name, s.ReadOnly, s.CapDrop, s.SecurityOpt)
		}
		writes := slices.DeleteFunc(slices.Clone(s.Volumes), func(v types.ServiceVolumeConfig) bool { return v.Type != types.VolumeTypeVolume })
		if name != "platform" && (len(writes) != 2 || writes[0].Target != "/data" || writes[1].Target != "/tmp") {
			t.Errorf("%s writes to %+v", name, writes)
		}
	}
	dsn := p.Configs["dsn"].Content
	if dsn != "postgres://flowbridge:flowbridge@127.0.0.1:5432/flowbridge" {
		t.Errorf("the database is %s", dsn)
	}
}

// The services wait for each other's health, may open files for their calls, and have time to drain.
func TestNodes(t *testing.T) {
	p := load(t, "postgres", "kernel")
	for name, needs := range map[string][]string{
		"flowbridge": {"platform"}, "kernel": {"platform"}, "node-1": {"platform", "postgres"}, "node-2": {"platform", "postgres"},
		"grafana": {"prometheus"},
	} {
		s := p.Services[name]
		for _, other := range needs {
			if got := s.DependsOn[other].Condition; got != types.ServiceConditionHealthy {
				t.Errorf("%s starts when %s is %q", name, other, got)
			}
		}
		if len(s.DependsOn) != len(needs) {
			t.Errorf("%s needs %v; want %v", name, s.DependsOn, needs)
		}
		if name == "grafana" {
			continue
		}
		if n := s.Ulimits["nofile"]; n == nil || n.Single != 65536 {
			t.Errorf("%s: open files: %+v", name, n)
		}
		if g := s.StopGracePeriod; g == nil || time.Duration(*g) != 90*time.Second {
			t.Errorf("%s: stop_grace_period: %v", name, g)
		}
	}
	for name, s := range p.Services { // else engines before Docker 28 refuse it, or Flowbridge does
		for _, c := range s.Configs {
			if c.UID != "" || c.GID != "" || c.Mode == nil || *c.Mode != 0o440 || !slices.Equal(s.GroupAdd, []string{"0"}) {
				t.Errorf("%s: a secret with %+v and the groups %v", name, c, s.GroupAdd)
			}
		}
	}
}

// The kernel's node has what docs/operations.md says of `docker run`.
func TestKernel(t *testing.T) {
	s := load(t, "kernel").Services["kernel"]
	if s.User != "0" || !slices.Equal(s.CapDrop, []string{"ALL"}) ||
		!slices.Equal(s.CapAdd, []string{"BPF", "NET_ADMIN", "PERFMON", "DAC_OVERRIDE"}) {
		t.Errorf("user %q, without %v, with %v", s.User, s.CapDrop, s.CapAdd)
	}
	if !slices.Equal(s.SecurityOpt, []string{"no-new-privileges", "apparmor=unconfined"}) {
		t.Errorf("security_opt: %v", s.SecurityOpt)
	}
}

// Prometheus asks each port of Flowbridge's API that it should, Grafana asks Prometheus.
func TestAddresses(t *testing.T) {
	read := func(file string) string {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for file, want := range map[string]string{
		"contrib/prometheus/prometheus.yml":                       "127.0.0.1:8080",
		"contrib/grafana/provisioning/datasources/prometheus.yml": "http://127.0.0.1:9090",
		"contrib/grafana/provisioning/dashboards/flowbridge.yml":  "/var/lib/grafana/dashboards",
		"docs/examples/fleet.yaml":                                "dsn_file: /run/secrets/dsn",
		"docs/examples/kernel.yaml":                               "engine: kernel",
	} {
		if !strings.Contains(read(file), want) {
			t.Errorf("%s does not have %s", file, want)
		}
	}
}
