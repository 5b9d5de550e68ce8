package helm

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	apps "k8s.io/api/apps/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// `helm lint` has nothing to say but that a chart may have an icon.
func TestLint(t *testing.T) {
	for _, m := range lint.RunAll(chart, values(t, file, ""), "telephony").Messages {
		if m.Severity > support.InfoSev {
			t.Errorf("%v", m)
		}
	}
}

func TestStatefulSet(t *testing.T) {
	o := install(t, file, "replicas: 3") // the text of file begins with an indented line
	if len(o.statefulSets) != 1 || len(o.daemonSets)+len(o.secrets)+len(o.monitors)+len(o.rules) > 0 {
		t.Fatalf("%+v", o)
	}
	set := o.statefulSets[0].Spec
	if *set.Replicas != 3 || set.ServiceName != o.services[0].Name || set.UpdateStrategy.Type != apps.RollingUpdateStatefulSetStrategyType {
		t.Errorf("%+v", set)
	}
	if len(o.budgets) != 1 || o.budgets[0].Spec.MaxUnavailable.IntValue() != 1 {
		t.Errorf("budgets: %+v", o.budgets)
	}
	if claims := set.VolumeClaimTemplates; len(claims) != 1 || claims[0].Spec.Resources.Requests.Storage().String() != "10Gi" {
		t.Errorf("claims: %+v", claims)
	}
	if _, found := volume(t, &o, "/data"); !found {
		t.Error("nothing is mounted at /data")
	}
	pod, container := o.pod(t)
	spec := pod.Spec
	if !spec.HostNetwork || spec.DNSPolicy != core.DNSClusterFirstWithHostNet || *spec.TerminationGracePeriodSeconds != 90 {
		t.Errorf("%+v", spec)
	}
	if *spec.AutomountServiceAccountToken || *o.accounts[0].AutomountServiceAccountToken || spec.ServiceAccountName != o.accounts[0].Name {
		t.Errorf("account: %+v, %+v", spec, o.accounts)
	}
	apart := spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution
	for _, selector := range []map[string]string{set.Selector.MatchLabels, apart[0].LabelSelector.MatchLabels, o.services[0].Spec.Selector, o.budgets[0].Spec.Selector.MatchLabels} {
		if !maps.Equal(selector, pod.Labels) {
			t.Errorf("%v does not select the pods %v", selector, pod.Labels)
		}
	}
	if apart[0].TopologyKey != "kubernetes.io/hostname" {
		t.Errorf("apart: %+v", apart)
	}
	s, c := spec.SecurityContext, container.SecurityContext
	if !*s.RunAsNonRoot || *s.RunAsUser != 65532 || *s.FSGroup != 65532 || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault || s.AppArmorProfile != nil {
		t.Errorf("%+v", s)
	}
	if *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Equal(c.Capabilities.Drop, []core.Capability{"ALL"}) || len(c.Capabilities.Add) > 0 {
		t.Errorf("%+v", c)
	}
	if stuck := container.LivenessProbe.TerminationGracePeriodSeconds; stuck == nil || *stuck < 1 || *stuck > 5 {
		t.Errorf("a process that is stuck has the time of a drain: %+v", container.LivenessProbe) // its calls wait for the next one
	}
	if v, found := volume(t, &o, "/sys/fs/bpf"); found {
		t.Errorf("%+v is mounted", v)
	}
	if !strings.HasPrefix(o.file(t), file) {
		t.Errorf("the operator's text is changed:\n%s", o.file(t))
	}
	for _, want := range []string{"rollout status statefulset/edge-flowbridge", "UDP 5060, UDP 10000-29999", "exec edge-flowbridge-0 -- /flowbridge check"} {
		if !strings.Contains(o.notes, want) {
			t.Errorf("the notes lack %q:\n%s", want, o.notes)
		}
	}
}

// The scheduler keeps a second pod off a node by the ports, so they are the configuration's.
func TestPorts(t *testing.T) {
	o := install(t, file+`
sip: {listen: ["udp://${NODE_IP}:5062", "tcp://${NODE_IP}:5062", "tls://${NODE_IP}:5061", "udp://[::]:5062"], tls: {cert: /run/tls/tls.crt, key: /run/tls/tls.key}}
admin: {listen: "127.0.0.1:8081"}
`, `
volumes: [{name: tls, secret: {secretName: sip, defaultMode: 0440}}]
volumeMounts: [{name: tls, mountPath: /run/tls, readOnly: true}]
`)
	_, container := o.pod(t)
	got := map[string]core.Protocol{}
	for _, p := range container.Ports {
		if p.HostPort != p.ContainerPort || p.ContainerPort == 0 {
			t.Errorf("%+v", p) // with the node's network they are the same
		}
		got[fmt.Sprint(p.Name, " ", p.HostPort)] = cmp.Or(p.Protocol, core.ProtocolTCP)
	}
	want := map[string]core.Protocol{"admin 8081": "TCP", "sip-udp-5062 5062": "UDP", "sip-tcp-5062 5062": "TCP", "sip-tls-5061 5061": "TCP"}
	if !maps.Equal(got, want) {
		t.Errorf("%v; want %v", got, want)
	}
	for _, p := range o.services[0].Spec.Ports {
		if got[fmt.Sprint(p.Name, " ", p.Port)] != p.Protocol {
			t.Errorf("the service has %+v", p)
		}
	}
	if o.services[0].Spec.ClusterIP != core.ClusterIPNone {
		t.Errorf("the service has an address, by which RTP would not come: %+v", o.services[0].Spec)
	}
	if _, found := volume(t, &o, "/run/tls"); !found {
		t.Error("the certificate is not mounted")
	}
}

func TestDaemonSet(t *testing.T) {
	o := install(t, file, "{kind: DaemonSet, storage: {hostPath: /var/lib/flowbridge}, nodeSelector: {sip: edge}}")
	if len(o.daemonSets) != 1 || len(o.statefulSets)+len(o.budgets) > 0 {
		t.Fatalf("%+v", o)
	}
	if u := o.daemonSets[0].Spec.UpdateStrategy.RollingUpdate; u.MaxUnavailable.IntValue() != 1 || u.MaxSurge.IntValue() != 0 {
		t.Errorf("%+v", u) // two pods can't have the node's ports
	}
	pod, _ := o.pod(t)
	if !maps.Equal(pod.Labels, o.daemonSets[0].Spec.Selector.MatchLabels) || pod.Spec.NodeSelector["sip"] != "edge" || pod.Spec.Affinity != nil {
		t.Errorf("%+v", pod)
	}
	if v, found := volume(t, &o, "/data"); !found || v.HostPath == nil || v.HostPath.Path != "/var/lib/flowbridge" || *v.HostPath.Type != core.HostPathDirectory {
		t.Errorf("/data is %+v", v)
	}
}

func TestKernel(t *testing.T) {
	o := install(t, file, "engine: kernel")
	pod, container := o.pod(t)
	if got := container.SecurityContext.Capabilities; !slices.Equal(got.Add, []core.Capability{"BPF", "NET_ADMIN", "PERFMON", "DAC_OVERRIDE"}) || !slices.Equal(got.Drop, []core.Capability{"ALL"}) {
		t.Errorf("capabilities: %+v", got)
	}
	if s := pod.Spec.SecurityContext; *s.RunAsUser != 0 || s.RunAsNonRoot != nil || s.AppArmorProfile.Type != core.AppArmorProfileTypeUnconfined {
		t.Errorf("%+v", s) // other users do not get capabilities
	}
	if *container.SecurityContext.AllowPrivilegeEscalation || !*container.SecurityContext.ReadOnlyRootFilesystem {
		t.Errorf("%+v", container.SecurityContext)
	}
	if v, found := volume(t, &o, "/sys/fs/bpf"); !found || v.HostPath == nil || v.HostPath.Path != "/sys/fs/bpf" {
		t.Errorf("/sys/fs/bpf is %+v", v)
	}
	if !strings.Contains(o.file(t), "engine: kernel") {
		t.Error(o.file(t))
	}
	install(t, file+"media: {ports: 10000-29999}", "engine: kernel") // auto takes the kernel, too
}

// withSecrets names two secrets as files, and one as a variable.
const withSecrets = `
trunks:
  - {name: carrier, auth: {username: carrier, password_env: CARRIER_PASSWORD}}
targets:
  - {name: agent, kind: synthflow, prepare: {token_file: /run/secrets/synthflow, model_id: "1744274157255x646200691892837600", workspace_id: demo}, headers: {X-EI: "S.{{.Prepare.CallID}};"}}
routes:
  - {trunk: carrier, targets: [agent]}
fleet: {dsn_file: "/run/secrets/fleet.dsn", node: "${POD_NAME}"}
store: {path: /run/secrets/of/others.db}
# a comment names /run/secrets/nothing and ${NOTHING}
`

const passwordOfCarrier = "env: [{name: CARRIER_PASSWORD, valueFrom: {secretKeyRef: {name: carrier, key: password}}}]\n"

func TestSecrets(t *testing.T) {
	existing := install(t, withSecrets, passwordOfCarrier+"secret: {existing: telephony-secrets}")
	if len(existing.secrets) != 0 {
		t.Errorf("%+v", existing.secrets)
	}
	made := install(t, withSecrets, passwordOfCarrier+`secret: {values: {synthflow: "a:\"b", fleet.dsn: postgres://, further: x}}`)
	if len(made.secrets) != 1 || !maps.Equal(made.secrets[0].StringData, map[string]string{"synthflow": `a:"b`, "fleet.dsn": "postgres://", "further": "x"}) {
		t.Fatalf("%+v", made.secrets)
	}
	for name, o := range map[string]objects{"telephony-secrets": existing, made.secrets[0].Name: made} {
		v, found := volume(t, &o, "/run/secrets")
		if !found || v.Secret == nil || v.Secret.SecretName != name || *v.Secret.DefaultMode != 0o440 {
			t.Fatalf("/run/secrets is %+v", v) // Flowbridge refuses a secret that everybody may read
		}
		var files []string
		for _, item := range v.Secret.Items {
			files = append(files, item.Key+" "+item.Path)
		}
		if want := []string{"fleet.dsn fleet.dsn", "synthflow synthflow"}; !slices.Equal(files, want) {
			t.Errorf("%v; want %v", files, want)
		}
	}
}

func TestMonitoring(t *testing.T) {
	o := install(t, file, "{podMonitor: {enabled: true, labels: {release: prometheus}}, prometheusRule: {enabled: true}, secret: {existing: tokens}}")
	if len(o.monitors) != 1 || len(o.rules) != 1 {
		t.Fatalf("%+v", o)
	}
	pod, container := o.pod(t)
	m := o.monitors[0]
	at := m.Spec.PodMetricsEndpoints[0]
	if !slices.ContainsFunc(container.Ports, func(p core.ContainerPort) bool { return p.Name == *at.Port }) || !maps.Equal(m.Spec.Selector.MatchLabels, pod.Labels) {
		t.Errorf("%+v", m.Spec)
	}
	if pod.Labels[m.Spec.JobLabel] != "flowbridge" || m.Labels["release"] != "prometheus" {
		t.Errorf("%+v", m) // the rules ask for this job
	}
	if who := at.Authorization.Credentials; who.Name != "tokens" || !strings.Contains(o.file(t), "{name: prometheus, file: /run/secrets/"+who.Key+", rights: read}") {
		t.Errorf("%+v", who)
	}
	want, err := os.ReadFile(root + "/contrib/prometheus/flowbridge.rules.yml")
	if err != nil {
		t.Fatal(err)
	}
	var rules monitoring.PrometheusRuleSpec
	if err := yaml.UnmarshalStrict(want, &rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Groups) == 0 || !reflect.DeepEqual(o.rules[0].Spec, rules) {
		t.Error("the rules are others than those of Prometheus: copy contrib/prometheus/flowbridge.rules.yml to contrib/helm/flowbridge/files")
	}
}

// A section that counts after a restart only replaces the pods, and no other, unless that is wanted.
func TestRestart(t *testing.T) {
	sum := func(config, more string) string {
		o := install(t, config, more)
		pod, _ := o.pod(t)
		return pod.Annotations["checksum/config"]
	}
	trunks := strings.Replace(file, "203.0.113.0/24", "198.51.100.0/24", 1)
	if before := sum(file, ""); before == "" || sum(trunks, "") != before {
		t.Error("pods are replaced for what a reload does")
	}
	if before := sum(file, "restart: always"); sum(trunks, "restart: always") == before {
		t.Error("pods are not replaced though that was asked for")
	}
	for _, section := range needRestart(t) {
		ports := map[string]string{"media": "ports: 10000-19999"}[section]
		if sum(file+section+": {"+ports+"}\n", "") == sum(file, "") {
			t.Errorf("a change of %s does not replace the pods", section)
		}
	}
}

// needRestart are the sections that count after a restart, as the documents say it.
func needRestart(t *testing.T) (sections []string) {
	t.Helper()
	text, err := os.ReadFile(root + "/docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^\| (.*) \| after a restart, or by`).FindSubmatch(text)
	if row == nil {
		t.Fatal("docs/operations.md does not say which sections count after a restart")
	}
	for _, m := range regexp.MustCompile("`([a-z]+)`").FindAllSubmatch(row[1], -1) {
		sections = append(sections, string(m[1]))
	}
	if len(sections) < 8 {
		t.Errorf("only %v count after a restart", sections)
	}
	return sections
}

func TestGrace(t *testing.T) {
	for drain, want := range map[string]int64{"0s": 30, "1500ms": 32, "90s": 120, "1m30s": 120, "4h": 4*3600 + 30, "1.5h": 5430} {
		o := install(t, file+"sip: {drain_timeout: "+drain+"}", "")
		if pod, _ := o.pod(t); *pod.Spec.TerminationGracePeriodSeconds != want {
			t.Errorf("drain_timeout %s: %d s; want %d", drain, *pod.Spec.TerminationGracePeriodSeconds, want)
		}
	}
}

func TestName(t *testing.T) {
	for release, want := range map[string]string{
		"flowbridge": "flowbridge", "edge": "edge-flowbridge", "flowbridge-eu": "flowbridge-eu",
		"edge nameOverride: sip": "edge-sip", "sip-eu nameOverride: sip": "sip-eu", "edge fullnameOverride: gate": "gate",
	} {
		release, more, _ := strings.Cut(release, " ")
		files, err := renderAs(t, release, values(t, file, more))
		if err != nil {
			t.Fatal(err)
		}
		if text := files["flowbridge/templates/workload.yaml"]; !strings.Contains(text, "\n  name: "+want+"\n") {
			t.Errorf("release %s:\n%s", release, text)
		}
	}
}

// What an operator adds stands beside what the chart needs, and does not take its place.
func TestAdditions(t *testing.T) {
	o := install(t, file, `
podLabels: {team: voice, app.kubernetes.io/name: other}
podAnnotations: {prometheus.io/scrape: "true"}
serviceAccount: {annotations: {eks.amazonaws.com/role-arn: arn}}
extraContainers: [{name: shipper, image: "shipper:1"}]
affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [{key: sip, operator: Exists}]}]}}}
topologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]
`)
	pod := o.statefulSets[0].Spec.Template
	if pod.Labels["team"] != "voice" || pod.Labels["app.kubernetes.io/name"] != "flowbridge" || pod.Annotations["prometheus.io/scrape"] != "true" || pod.Annotations["checksum/config"] == "" {
		t.Errorf("%+v", pod.ObjectMeta)
	}
	if o.accounts[0].Annotations["eks.amazonaws.com/role-arn"] != "arn" {
		t.Errorf("%+v", o.accounts)
	}
	if c := pod.Spec.Containers; len(c) != 2 || c[0].Name != "flowbridge" || c[1].Image != "shipper:1" {
		t.Errorf("%+v", c)
	}
	if a := pod.Spec.Affinity; a.NodeAffinity == nil || len(a.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) != 1 || pod.Spec.TopologySpreadConstraints[0].TopologyKey != "zone" {
		t.Errorf("%+v", pod.Spec)
	}
	o = install(t, file, "affinity: {podAntiAffinity: {preferredDuringSchedulingIgnoredDuringExecution: []}}")
	if a := o.statefulSets[0].Spec.Template.Spec.Affinity.PodAntiAffinity; len(a.RequiredDuringSchedulingIgnoredDuringExecution) > 0 {
		t.Errorf("%+v", a)
	}
}

// `helm test` asks a node of the release where its admin API listens, and its pod is none of the release's own.
func TestHelmTest(t *testing.T) {
	for more, url := range map[string]string{
		"": "http://127.0.0.1:8080/readyz",
		"admin: {listen: '${NODE_IP}:8081', tokens: [{name: a, file: /run/secrets/a, rights: read}]}": "http://$(NODE_IP):8081/readyz",
		"admin: {listen: '[::]:8080', tokens: [{name: a, file: /run/secrets/a, rights: read}]}":       "http://[::1]:8080/readyz",
	} {
		o := install(t, file+more, "secret: {values: {a: b}}")
		if len(o.tests) != 1 || o.tests[0].Annotations["helm.sh/hook"] != "test" || !o.tests[0].Spec.HostNetwork {
			t.Fatalf("%+v", o.tests)
		}
		p := o.tests[0]
		if c := p.Spec.Containers[0]; !slices.Equal(c.Args, []string{"healthcheck", "--wait", "2m", "--url", url}) || c.Env[0].Name != "NODE_IP" {
			t.Errorf("%+v", c)
		}
		with := p.Spec.Affinity.PodAffinity.RequiredDuringSchedulingIgnoredDuringExecution[0].LabelSelector.MatchLabels
		if pod, _ := o.pod(t); !maps.Equal(with, pod.Labels) || p.Labels["app.kubernetes.io/name"] == pod.Labels["app.kubernetes.io/name"] {
			t.Errorf("it goes beside %v, as %v", with, p.Labels)
		}
	}
}
