// Package compose tests docker-compose.yml, without Docker.
package compose

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

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
		{[]string{"postgres"}, "flowbridge grafana node platform postgres prometheus"},
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
	p := load(t, "postgres")
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
			if _, err := os.Stat(v.Source); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if !v.ReadOnly {
				t.Errorf("%s may write %s", name, v.Source)
			}
		}
	}
	dsn := p.Configs["dsn"].Content
	if dsn != "postgres://flowbridge:flowbridge@127.0.0.1:5432/flowbridge" {
		t.Errorf("the database is %s", dsn)
	}
	if c := p.Services["node"].Configs[0]; c.UID != "65532" || c.Mode == nil || *c.Mode != 0o400 {
		t.Errorf("the secret of the database: %+v", c) // else Flowbridge refuses it
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
	} {
		if !strings.Contains(read(file), want) {
			t.Errorf("%s does not have %s", file, want)
		}
	}
}
