// Oci writes Flowbridge's image for both architectures, without pulling anything and without a container engine. It is
// the same image as the Dockerfile's. scripts/image calls it.
//
//	go run ./oci -version 1.2.3 -revision ... -created 1700000000 -dir DIR ARCH=BINARY=SBOM...
//
// DIR gets the directory oci, an OCI layout with one index, and for each architecture a file for docker load. The same
// input gives the same bytes.
package main

import (
	"archive/tar"
	"bytes"
	"encoding/pem"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"
)

func main() {
	var r release
	created := flag.Int64("created", 0, "time of the image, seconds since 1970")
	dir := flag.String("dir", "", "where it is written")
	flag.StringVar(&r.version, "version", "", "version")
	flag.StringVar(&r.revision, "revision", "", "commit")
	flag.Parse()
	r.created = time.Unix(*created, 0).UTC()
	if err := r.write(*dir, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "oci:", err)
		os.Exit(1)
	}
}

type release struct {
	version, revision string
	created           time.Time
}

// write writes the images of programs, each given as ARCH=BINARY=SBOM.
func (r *release) write(dir string, programs []string) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range programs {
		part := strings.Split(p, "=")
		if len(part) != 3 {
			return fmt.Errorf("%q is not ARCH=BINARY=SBOM", p)
		}
		image, err := r.image(part[0], part[1], part[2])
		if err != nil {
			return err
		}
		tag, err := name.NewTag("flowbridge:" + tagOf(r.version))
		if err != nil {
			return err
		}
		file := filepath.Join(dir, "docker_"+part[0]+".tar")
		if err := tarball.WriteToFile(file, tag, image); err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: image, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: part[0]}},
		})
	}
	// A layout names one thing, which here is the index of both images.
	named := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add: index, Descriptor: v1.Descriptor{
			Annotations: map[string]string{"org.opencontainers.image.ref.name": tagOf(r.version)},
		},
	})
	_, err := layout.Write(filepath.Join(dir, "oci"), named)
	return err
}

// tagOf returns a version as a tag, which may contain neither + nor ~.
func tagOf(version string) string { return strings.NewReplacer("+", "-", "~", "-").Replace(version) }

// user is the image's user. It has no name in the image.
const user = 65532

// settings returns the settings of the Dockerfile's last stage. TestImageIsThatOfTheDockerfile compares them.
func (r *release) settings() v1.Config {
	return v1.Config{
		User: fmt.Sprintf("%d:%d", user, user), WorkingDir: "/data", Volumes: map[string]struct{}{"/data": {}},
		Entrypoint: []string{"/flowbridge"},
		Cmd:        []string{"serve", "--config", "/etc/flowbridge/flowbridge.yaml"},
		Healthcheck: &v1.HealthConfig{
			Test: []string{"CMD", "/flowbridge", "healthcheck"}, Interval: 10 * time.Second, Timeout: 5 * time.Second,
		},
		Env: []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
		Labels: map[string]string{
			"org.opencontainers.image.title": "Flowbridge", "org.opencontainers.image.version": r.version,
			"org.opencontainers.image.revision": r.revision, "org.opencontainers.image.created": r.created.Format(time.RFC3339),
		},
	}
}

func (r *release) image(arch, binary, sbom string) (v1.Image, error) {
	program, err := os.ReadFile(binary)
	if err != nil {
		return nil, err
	}
	parts, err := os.ReadFile(sbom)
	if err != nil {
		return nil, err
	}
	root, err := r.layer(
		entry{name: "data/", mode: 0o755, owner: user},
		entry{name: "tmp/", mode: 0o755, owner: user},
		entry{name: "etc/ssl/certs/ca-certificates.crt", mode: 0o644, body: roots()},
		entry{name: "usr/share/doc/flowbridge/sbom.cdx.json", mode: 0o644, body: parts},
	)
	if err != nil {
		return nil, err
	}
	top, err := r.layer(entry{name: "flowbridge", mode: 0o755, body: program})
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(mutate.MediaType(empty.Image, types.OCIManifestSchema1), root, top)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config.Architecture, config.OS, config.Created, config.Config = arch, "linux", v1.Time{Time: r.created}, r.settings()
	return mutate.ConfigFile(mutate.ConfigMediaType(image, types.OCIConfigJSON), config)
}

// entry is a file of the image or, with a trailing slash, a directory.
type entry struct {
	name  string
	mode  int64
	owner int
	body  []byte
}

func (r *release) layer(all ...entry) (v1.Layer, error) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range all {
		h := &tar.Header{Name: e.name, Mode: e.mode, Uid: e.owner, Gid: e.owner, Size: int64(len(e.body)), ModTime: r.created}
		h.Typeflag = tar.TypeReg
		if strings.HasSuffix(e.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(e.body); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	opener := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }
	return tarball.LayerFromOpener(opener, tarball.WithMediaType(types.OCILayer))
}

// roots returns the certificates that Mozilla trusts, from a Go module, because the machine's certificates differ
// between machines. It leaves out certificates that are trusted with a constraint, because a file can't express the
// constraint.
func roots() (all []byte) {
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			all = append(all, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate})...)
		}
	}
	return all
}
