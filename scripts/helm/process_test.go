package helm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
)

// patience is the timeout for a test that hangs. It is no expectation of how long anything takes.
const patience = 5 * time.Minute

var shared string // a directory with the program and those of the pods

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	if shared, err = os.MkdirTemp("", "flowbridge-helm-"); err != nil {
		return 1, err
	}
	defer os.RemoveAll(shared)
	if err := os.Chmod(shared, 0o755); err != nil { // another user runs it
		return 1, err
	}
	return m.Run(), nil
}

// program is the product, built once.
var program = sync.OnceValues(func() (string, error) {
	file := filepath.Join(shared, "flowbridge")
	build := exec.Command("go", "build", "-o", file, "./cmd/flowbridge")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return file, nil
})

// nodeIP is a loopback address that no other process of this machine uses as a rule, and loopback is another one.
var nodeIP, loopback = address(64), address(128)

func address(second int) string {
	pid := os.Getpid()
	return fmt.Sprintf("127.%d.%d.%d", second+pid>>16&63, pid>>8&255, 1+pid%254)
}

// container runs the product's commands as the pod runs them: with its file, its variables, its secrets and,
// where the test may, as its user.
type container struct {
	core.Container
	program, file, dir string
	env                []string
	user               *syscall.Credential
}

func pull(t *testing.T, o objects, secrets map[string]string) *container {
	t.Helper()
	file, err := program()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(shared, "pod-") //nolint:usetesting // another user may not reach those of a test
	if err != nil {
		t.Fatal(err)
	}
	pod, spec := o.pod(t)
	c := &container{Container: spec, program: file, dir: dir}
	give := func(string, os.FileMode) {}
	if s := pod.Spec.SecurityContext; os.Getuid() == 0 {
		group := uint32(*s.FSGroup)
		c.user = &syscall.Credential{Uid: uint32(*s.RunAsUser), Gid: uint32(*s.RunAsGroup), Groups: []uint32{group}}
		give = func(name string, mode os.FileMode) { // as the kubelet does it for fsGroup
			if err := errors.Join(os.Chown(name, 0, int(group)), os.Chmod(name, mode)); err != nil {
				t.Fatal(err)
			}
		}
	}
	give(c.dir, 0o770|os.ModeSetgid)
	text := o.file(t)
	for key, secret := range secrets {
		name := filepath.Join(c.dir, key)
		if err := os.WriteFile(name, []byte(secret), 0o440); err != nil {
			t.Fatal(err)
		}
		give(name, 0o440)
		text = strings.ReplaceAll(text, "/run/secrets/"+key, name)
	}
	c.file = filepath.Join(c.dir, "flowbridge.yaml")
	if err := os.WriteFile(c.file, []byte(text), 0o644); err != nil { // as a ConfigMap is mounted
		t.Fatal(err)
	}
	for _, e := range spec.Env {
		value := e.Value
		if e.ValueFrom != nil && e.ValueFrom.FieldRef != nil {
			switch path := e.ValueFrom.FieldRef.FieldPath; path {
			case "status.hostIP":
				value = nodeIP
			case "spec.nodeName", "metadata.name":
				value = path
			default:
				t.Errorf("the variable %s is of %s", e.Name, path)
			}
		} else if e.ValueFrom != nil {
			value = "secret"
		}
		c.env = append(c.env, e.Name+"="+value)
	}
	return c
}

// run returns a command that runs the container's program with args, as the container's user and with its environment.
// The path of a file in the container becomes the path of its copy on this machine.
func (c *container) run(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.program, args...)
	for i, arg := range cmd.Args {
		cmd.Args[i] = strings.ReplaceAll(arg, "/etc/flowbridge/flowbridge.yaml", c.file)
	}
	cmd.Dir, cmd.Env = c.dir, c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: c.user}
	return cmd
}

// url is where the kubelet asks a probe.
func (c *container) url(t *testing.T, p *core.Probe) string {
	t.Helper()
	if p == nil || p.HTTPGet == nil || p.HTTPGet.Scheme != "" {
		t.Fatalf("the probe is %+v", p)
	}
	host := p.HTTPGet.Host
	if host == "" {
		host = nodeIP // the pod has the address of its node
	}
	for _, port := range c.Ports {
		if port.Name == p.HTTPGet.Port.StrVal {
			return "http://" + net.JoinHostPort(host, strconv.Itoa(int(port.ContainerPort))) + p.HTTPGet.Path
		}
	}
	t.Fatalf("no port has the name %v", p.HTTPGet.Port)
	return ""
}

// What the chart makes of a configuration is valid, and gives no reason for a warning.
func TestCheck(t *testing.T) {
	for name, tt := range map[string]struct{ config, more string }{
		"as it comes":    {file, ""},
		"DaemonSet":      {file, "{kind: DaemonSet, storage: {hostPath: /var/lib/flowbridge}}"},
		"kernel":         {file, "engine: kernel"},
		"secrets":        {withSecrets, passwordOfCarrier + "secret: {existing: telephony}"},
		"without an end": {strings.TrimSuffix(file, "\n"), ""},
		"monitored":      {file, "{podMonitor: {enabled: true}, secret: {values: {prometheus: a, operator: b}}}"},
	} {
		t.Run(name, func(t *testing.T) {
			c := pull(t, install(t, tt.config, tt.more), map[string]string{
				"synthflow": "c2VjcmV0", "fleet.dsn": "postgres://flowbridge:secret@127.0.0.1/flowbridge", "prometheus": "a", "operator": "b",
			})
			out, err := c.run(t.Context(), "check", "--elsewhere", "--config", "/etc/flowbridge/flowbridge.yaml").CombinedOutput()
			if text := string(out); err != nil || !strings.Contains(text, "valid") || strings.Contains(text, "warning") {
				t.Errorf("%v\n%s", err, text)
			}
		})
	}
}

// The process as the pod starts it answers its probes, and needs less time for its end than it is given.
func TestProbes(t *testing.T) {
	for name, tt := range map[string]struct{ config, more string }{
		"loopback":  {file + "admin: {listen: '" + loopback + ":8080'}\nsip: {listen: ['udp://${NODE_IP}:5060'], drain_timeout: 2m30s}\n", ""},
		"monitored": {file, "{podMonitor: {enabled: true}, secret: {values: {prometheus: token-to-read, operator: token-to-operate}}}"},
	} {
		t.Run(name, func(t *testing.T) {
			o := install(t, tt.config, tt.more)
			c := pull(t, o, map[string]string{"prometheus": "token-to-read", "operator": "token-to-operate"})
			serving := c.start(t)
			if err := serving.until(c.url(t, c.StartupProbe)); err != nil {
				t.Fatal(err)
			}
			for _, p := range []*core.Probe{c.LivenessProbe, c.ReadinessProbe} {
				if code, body := ask(t, http.MethodGet, c.url(t, p), ""); code != http.StatusOK {
					t.Errorf("%s: %d %s", c.url(t, p), code, body)
				}
			}
			if !strings.HasSuffix(c.url(t, c.ReadinessProbe), "/readyz") || strings.HasSuffix(c.url(t, c.LivenessProbe), "/readyz") {
				t.Error("a process that drains is killed, or gets calls") // only /readyz says that it drains
			}
			base := strings.TrimSuffix(c.url(t, c.ReadinessProbe), "/readyz")
			if len(o.monitors) > 0 {
				at := o.monitors[0].Spec.PodMetricsEndpoints[0]
				read := o.secrets[0].StringData[at.Authorization.Credentials.Key]
				if code, body := ask(t, http.MethodGet, base+"/metrics", read); code != http.StatusOK || !strings.Contains(body, "flowbridge_calls_open") {
					t.Errorf("Prometheus gets %d %s", code, body)
				}
				if code, _ := ask(t, http.MethodPost, base+"/api/reload", read); code != http.StatusForbidden {
					t.Errorf("Prometheus may reload: %d", code)
				}
			}
			if out, err := c.run(t.Context(), "reload", "--config", "/etc/flowbridge/flowbridge.yaml").CombinedOutput(); err != nil {
				t.Errorf("reload: %v\n%s", err, out)
			}
			if err := serving.stop(); err != nil {
				t.Fatal(err)
			}
			limit := regexp.MustCompile(`"limit_ms":([0-9]+),.*"message":"draining"`).FindStringSubmatch(serving.log.String())
			if limit == nil {
				t.Fatalf("SIGTERM does not drain:\n%s", &serving.log)
			}
			pod, _ := o.pod(t)
			if ms, err := strconv.ParseInt(limit[1], 10, 64); err != nil || *pod.Spec.TerminationGracePeriodSeconds < ms/1000+20 {
				t.Errorf("the kubelet kills it after %d s, and calls have %s ms", *pod.Spec.TerminationGracePeriodSeconds, limit[1])
			}
		})
	}
}

// serving is `flowbridge serve` of a container.
type serving struct {
	log  strings.Builder
	cmd  *exec.Cmd
	done chan struct{}
	err  error
}

func (c *container) start(t *testing.T) *serving {
	t.Helper()
	if got := strings.Join(append(c.Command, c.Args[0]), " "); got != "/flowbridge serve" || c.WorkingDir != "/data" {
		t.Fatalf("the pod starts %s in %s", got, c.WorkingDir)
	}
	s := &serving{cmd: c.run(context.Background(), c.Args...), done: make(chan struct{})}
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { s.err = s.cmd.Wait(); close(s.done) }()
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill()
		<-s.done
	})
	return s
}

// until waits for a URL to answer 200.
func (s *serving) until(url string) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for end := time.After(patience); ; {
		if res, err := http.Get(url); err == nil {
			_ = res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-s.done:
			return fmt.Errorf("ended: %w\n%s", s.err, &s.log)
		case <-end:
			return fmt.Errorf("%s does not answer", url)
		case <-tick.C:
		}
	}
}

// stop ends the process as the kubelet does.
func (s *serving) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		return fmt.Errorf("does not end")
	}
	if s.err != nil {
		return fmt.Errorf("%w\n%s", s.err, &s.log)
	}
	return nil
}

func ask(t *testing.T, method, url, token string) (code int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}
