package helm

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

// What would make pods that can't start, or calls without audio, is refused with what to write instead.
func TestRefused(t *testing.T) {
	for name, tt := range map[string]struct{ config, more, want string }{
		"no configuration":       {"", "", "give a flowbridge.yaml by --set-file config=flowbridge.yaml"},
		"comments only":          {"# soon\n", "", "config has no section: write trunks, targets and routes"},
		"a list":                 {"- a\n", "", "config is no YAML"},
		"no YAML":                {"trunks: [", "", "config is no YAML: "},
		"a flow mapping":         {"{trunks: [], targets: [], routes: []}", "", "write sip, media and admin into it"},
		"no image":               {file, `image: ""`, "--set image="},
		"no secret":              {withSecrets, passwordOfCarrier, "config names /run/secrets/fleet.dsn: give a Secret that has the key fleet.dsn"},
		"not this secret":        {withSecrets, passwordOfCarrier + "secret: {values: {fleet.dsn: a}}", "or the secret itself (secret.values.synthflow)"},
		"two secrets":            {withSecrets, passwordOfCarrier + "secret: {existing: a, values: {synthflow: b, fleet.dsn: c}}", "keep one of the two"},
		"no token":               {file, "podMonitor: {enabled: true}", "config names /run/secrets/operator"},
		"no variable of a key":   {withSecrets, "secret: {existing: a}", "the variable CARRIER_PASSWORD, which the pod does not have"},
		"no variable of a token": {strings.Replace(withSecrets, "token_file: /run/secrets/synthflow", "token_env: SYNTHFLOW_TOKEN", 1), passwordOfCarrier + "secret: {existing: a}", "the variable SYNTHFLOW_TOKEN, which"},
		"no variable":            {file + "sip: {advertise: '${PUBLIC_IP}'}", "", "the variable PUBLIC_IP, which the pod does not have"},
		"loopback for others":    {file + "admin: {listen: '127.0.0.1:8080'}", "podMonitor: {enabled: true}", `write "${NODE_IP}:8080" and tokens`},
		"loopback by default":    {file + "admin: {local: operate}", "podMonitor: {enabled: true}", `write "${NODE_IP}:8080" and tokens`},
		"a socket":               {file + "admin: {listen: 'unix:///run/admin.sock'}", "", "the probes need an address and a port"},
		"any port":               {file + "sip: {listen: ['udp://0.0.0.0:0']}", "", "a host port needs a transport and a port"},
		"ports of Services":      {file + "media: {ports: 20000-30001}", "", "write media.ports: 10000-29999"},
		"the product's ports":    {file + "media: {dscp: ef}", "", "media.ports 10000-32767 meets the ports of Services"},
		"ports of other ones":    {file, "nodePorts: 9000-10000", "meets the ports of Services (nodePorts: 9000-10000)"},
		"one port":               {file + "media: {ports: 10000}", "", "write the first and the last port"},
		"kernel without rights":  {file + "media: {ports: 10000-29999, engine: kernel}", "", "--set engine=kernel"},
		"rights without kernel":  {file + "media: {ports: 10000-29999, engine: userspace}", "engine: kernel", "write kernel or auto there"},
		"claims of a DaemonSet":  {file, "kind: DaemonSet", "--set storage.hostPath=/var/lib/flowbridge"},
		"an unknown key":         {file, "replica: 2", "additional properties 'replica' not allowed"},
		"an unknown key below":   {file, "storage: {path: /data}", "additional properties 'path' not allowed"},
		"another kind":           {file, "kind: Deployment", "value must be one of 'StatefulSet', 'DaemonSet'"},
		"another engine":         {file, "engine: auto", "value must be one of 'userspace', 'kernel'"},
		"a mapping as text":      {file, "config: {trunks: []}", "got object, want string"},
		"a half":                 {file, "replicas: 0.5", "want integer"},
		"a size in words":        {file, "storage: {size: ten}", "does not match pattern"},
		"a directory without /":  {file, "storage: {hostPath: data}", "does not match pattern"},
		"a variable without one": {file, "env: [{value: a}]", "missing property 'name'"},
		"an empty secret":        {file, "secret: {values: {synthflow: ''}}", "minLength"},
	} {
		t.Run(name, func(t *testing.T) {
			v := values(t, tt.config, tt.more)
			if _, err := render(t, v); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v; want %s", err, tt.want)
			}
		})
	}
	if _, err := render(t, values(t, file+"media: {ports: 20000-32767}", `nodePorts: ""`)); err != nil {
		t.Errorf("a cluster without NodePorts: %v", err)
	}
}

// The schema has the keys of values.yaml and no others, so that a key that is written wrong is told.
func TestSchema(t *testing.T) {
	type schema struct {
		Type                 string
		Properties           map[string]json.RawMessage
		AdditionalProperties any
	}
	var compare func(path string, s json.RawMessage, v any)
	compare = func(path string, s json.RawMessage, v any) {
		var is schema
		if err := json.Unmarshal(s, &is); err != nil {
			t.Fatal(err)
		}
		table, isTable := v.(map[string]any)
		if !isTable || is.Properties == nil {
			return
		}
		if is.AdditionalProperties != false {
			t.Errorf("%s takes any key", path)
		}
		if path == "values.yaml" {
			delete(is.Properties, "global") // Helm's own
		}
		has, want := slices.Sorted(maps.Keys(is.Properties)), slices.Sorted(maps.Keys(table))
		if path != "values.yaml.seccompProfile" && !slices.Equal(has, want) {
			t.Errorf("%s: the schema has %v; want %v", path, has, want)
		}
		for key, below := range is.Properties {
			compare(path+"."+key, below, table[key])
		}
	}
	read := func(name string) []byte {
		text, err := os.ReadFile(chart + "/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	var v any
	if err := yaml.UnmarshalStrict(read("values.yaml"), &v); err != nil {
		t.Fatal(err)
	}
	compare("values.yaml", read("values.schema.json"), v)
}
