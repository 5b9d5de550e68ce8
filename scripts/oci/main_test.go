package main

import (
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// TestImageIsThatOfTheDockerfile compares the settings with the last stage of the Dockerfile.
func TestImageIsThatOfTheDockerfile(t *testing.T) {
	text, err := os.ReadFile("../../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages := strings.Split(string(text), "\nFROM ")
	want := (&release{}).settings()
	want.Env, want.Labels = nil, nil
	var got v1.Config
	for line := range strings.Lines(stages[len(stages)-1]) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		switch word {
		case "USER":
			got.User = rest
		case "WORKDIR":
			got.WorkingDir = rest
		case "VOLUME":
			got.Volumes = map[string]struct{}{rest: {}}
		case "ENTRYPOINT":
			err = json.Unmarshal([]byte(rest), &got.Entrypoint)
		case "CMD":
			err = json.Unmarshal([]byte(rest), &got.Cmd)
		case "HEALTHCHECK":
			got.Healthcheck = &v1.HealthConfig{}
			for option := range strings.FieldsSeq(rest[:strings.Index(rest, "CMD")]) {
				name, value, _ := strings.Cut(option, "=")
				d, err := time.ParseDuration(value)
				if err != nil {
					t.Error(err)
				}
				*map[string]*time.Duration{"--interval": &got.Healthcheck.Interval, "--timeout": &got.Healthcheck.Timeout}[name] = d
			}
			err = json.Unmarshal([]byte(rest[strings.Index(rest, "["):]), &got.Healthcheck.Test)
			got.Healthcheck.Test = append([]string{"CMD"}, got.Healthcheck.Test...)
		case "scratch", "COPY":
		default:
			t.Errorf("the image does not know %s", line)
		}
		if err != nil {
			t.Error(err)
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the Dockerfile has %+v; the image %+v", got, want)
	}
}

// TestImage: both architectures are in one index, the same input gives the same bytes, and certificates are there.
func TestImage(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"program", "list"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	part := "=" + filepath.Join(dir, "program") + "=" + filepath.Join(dir, "list")
	r := release{version: "1.2.3+4~rc1", created: time.Unix(1_700_000_000, 0)}
	var digests []v1.Hash
	for _, at := range []string{"first", "second"} {
		at = filepath.Join(dir, at)
		if err := os.Mkdir(at, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := r.write(at, []string{"amd64" + part, "arm64" + part}); err != nil {
			t.Fatal(err)
		}
		whole, err := layout.ImageIndexFromPath(filepath.Join(at, "oci"))
		if err != nil {
			t.Fatal(err)
		}
		named, err := whole.IndexManifest()
		if err != nil || len(named.Manifests) != 1 || named.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3-4-rc1" {
			t.Fatalf("%+v, %v", named, err)
		}
		digests = append(digests, named.Manifests[0].Digest)
		index, err := whole.ImageIndex(named.Manifests[0].Digest)
		if err != nil {
			t.Fatal(err)
		}
		m, err := index.IndexManifest()
		if err != nil || len(m.Manifests) != 2 || m.Manifests[1].Platform.Architecture != "arm64" {
			t.Errorf("%+v, %v", m, err)
		}
	}
	if digests[0] != digests[1] {
		t.Errorf("two runs gave %v", digests)
	}
	if first, _ := pem.Decode(roots()); first == nil || len(roots()) < 100_000 {
		t.Errorf("%d bytes of certificates", len(roots()))
	}
	for _, bad := range []string{"amd64", "amd64=" + dir + "/none=" + dir + "/list", "amd64=" + dir + "/program=" + dir + "/none"} {
		if err := r.write(dir, []string{bad}); err == nil {
			t.Errorf("%s is taken", bad)
		}
	}
}
