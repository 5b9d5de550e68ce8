// Package helm tests the chart of contrib/helm with Helm's own code, without a cluster.
package helm

import (
	"maps"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	policy "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const (
	root  = "../.."
	chart = root + "/contrib/helm/flowbridge"
)

// file is a configuration as an operator writes it.
const file = `   # calls of a carrier
trunks:
  - {name: carrier, sources: [203.0.113.0/24]}
targets:
  - name: agent
    kind: sip
    uri: "sip:{{.To.Number}}@sip.agents.example"
    headers: {X-Second: "{{.To.Number}}", X-First: "1"}
routes:
  - {trunk: carrier, to: "^\\+1507[0-9]{7}$", targets: [agent]}
`

// values returns an installation's values: the image, the configuration, and further ones as YAML.
func values(t *testing.T, config, more string) map[string]any {
	t.Helper()
	v, err := common.ReadValues([]byte(more))
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]any{"image": "registry.example/flowbridge:1.2.3", "config": config}
	maps.Copy(all, v)
	return all
}

// render gives what Helm makes of the chart, by the names of the templates.
func render(t *testing.T, values map[string]any) (map[string]string, error) {
	t.Helper()
	return renderAs(t, "edge", values)
}

func renderAs(t *testing.T, release string, values map[string]any) (map[string]string, error) {
	t.Helper()
	c, err := loader.LoadDir(chart)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	all, err := util.ToRenderValues(c, values, common.ReleaseOptions{Name: release, Namespace: "telephony", IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	return engine.Render(c, all)
}

// objects are the manifests, each decoded strictly into the type of its kind.
type objects struct {
	accounts     []core.ServiceAccount
	configs      []core.ConfigMap
	secrets      []core.Secret
	services     []core.Service
	budgets      []policy.PodDisruptionBudget
	statefulSets []apps.StatefulSet
	daemonSets   []apps.DaemonSet
	monitors     []monitoring.PodMonitor
	rules        []monitoring.PrometheusRule
	tests        []core.Pod
	notes        string
}

// install renders the chart, which has to work, and decodes what comes of it.
func install(t *testing.T, config, more string) (o objects) {
	t.Helper()
	files, err := render(t, values(t, config, more))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if strings.HasSuffix(name, "NOTES.txt") {
			o.notes = files[name]
			continue
		}
		for text := range strings.SplitSeq("\n"+files[name], "\n---\n") {
			if strings.TrimSpace(text) != "" {
				o.decode(t, text)
			}
		}
	}
	return o
}

func (o *objects) decode(t *testing.T, text string) {
	t.Helper()
	var head struct{ APIVersion, Kind string }
	if err := yaml.Unmarshal([]byte(text), &head); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	switch head.APIVersion + " " + head.Kind {
	case "v1 ServiceAccount":
		o.accounts = strictly(t, o.accounts, text)
	case "v1 Pod":
		o.tests = strictly(t, o.tests, text)
	case "v1 ConfigMap":
		o.configs = strictly(t, o.configs, text)
	case "v1 Secret":
		o.secrets = strictly(t, o.secrets, text)
	case "v1 Service":
		o.services = strictly(t, o.services, text)
	case "policy/v1 PodDisruptionBudget":
		o.budgets = strictly(t, o.budgets, text)
	case "apps/v1 StatefulSet":
		o.statefulSets = strictly(t, o.statefulSets, text)
	case "apps/v1 DaemonSet":
		o.daemonSets = strictly(t, o.daemonSets, text)
	case "monitoring.coreos.com/v1 PodMonitor":
		o.monitors = strictly(t, o.monitors, text)
	case "monitoring.coreos.com/v1 PrometheusRule":
		o.rules = strictly(t, o.rules, text)
	default:
		t.Fatalf("an object of the kind %q %q:\n%s", head.APIVersion, head.Kind, text)
	}
}

// strictly decodes a manifest, and refuses keys that the type does not have, and keys that stand twice.
func strictly[T any](t *testing.T, before []T, text string) []T {
	t.Helper()
	var object T
	if err := yaml.UnmarshalStrict([]byte(text), &object); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
	return append(before, object)
}

// pod gives the template of the one workload, and its container.
func (o *objects) pod(t *testing.T) (core.PodTemplateSpec, core.Container) {
	t.Helper()
	var pods []core.PodTemplateSpec
	for _, w := range o.statefulSets {
		pods = append(pods, w.Spec.Template)
	}
	for _, w := range o.daemonSets {
		pods = append(pods, w.Spec.Template)
	}
	if len(pods) != 1 || len(pods[0].Spec.Containers) != 1 || len(pods[0].Spec.InitContainers) > 0 {
		t.Fatalf("want one workload with one container: %+v", pods)
	}
	return pods[0], pods[0].Spec.Containers[0]
}

// file is the configuration that is mounted.
func (o *objects) file(t *testing.T) string {
	t.Helper()
	if len(o.configs) != 1 || len(o.configs[0].Data) != 1 {
		t.Fatalf("want one ConfigMap with one file: %+v", o.configs)
	}
	return o.configs[0].Data["flowbridge.yaml"]
}

// volume gives the volume that is mounted at a path.
func volume(t *testing.T, o *objects, path string) (volume core.Volume, found bool) {
	t.Helper()
	pod, container := o.pod(t)
	for _, m := range container.VolumeMounts {
		if m.MountPath != path {
			continue
		}
		for _, w := range o.statefulSets {
			for _, claim := range w.Spec.VolumeClaimTemplates {
				if claim.Name == m.Name {
					return core.Volume{Name: claim.Name}, true
				}
			}
		}
		for _, v := range pod.Spec.Volumes {
			if v.Name == m.Name {
				return v, true
			}
		}
		t.Errorf("no volume has the name %s, which is mounted at %s", m.Name, path)
	}
	return core.Volume{}, false
}
