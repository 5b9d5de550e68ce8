package check

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/rs/zerolog"
	"golang.org/x/sys/unix"

	"flowbridge/b2bua/transport"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/config"
	"flowbridge/internal/local"
	"flowbridge/media/kernel"
)

// warning is a problem that does not make a configuration invalid.
type warning struct {
	Problem, Remedy string
}

// machine is the machine that the configuration runs on.
type machine struct {
	openFiles func() (uint64, error)
	setting   func(name string) (string, error) // reads a setting of the kernel
	writable  func(path string) error
	mode      func(path string) (fs.FileMode, error)
	addresses func() ([]netip.Addr, error) // returns the addresses of the machine's interfaces
	relays    func() error                 // returns why the kernel can't relay RTP
	outlives  func(dir, old string) error  // returns why relayed RTP would end with the process
	slow      func() error                 // returns why the kernel would relay slower than it could
	elsewhere bool                         // the service will run on another machine

	processors int // GOMAXPROCS, or 0 if not known
}

func thisMachine() machine {
	return machine{
		openFiles: func() (uint64, error) {
			var limit unix.Rlimit
			err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
			return limit.Max, err // a Go program raises its limit to this by itself
		},
		setting: func(name string) (string, error) {
			b, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
			return strings.TrimSpace(string(b)), err
		},
		writable: writable,
		mode: func(path string) (fs.FileMode, error) {
			info, err := os.Stat(path)
			if err != nil {
				return 0, err
			}
			return info.Mode(), nil
		},
		addresses: local.Addresses,
		relays:    kernel.Try,
		outlives:  kernel.CheckDir,
		slow:      kernel.Slow,

		processors: runtime.GOMAXPROCS(0),
	}
}

// writable returns an error if this user can't write a file, or can't create files in a directory. It refuses the
// kernel's own file systems, which grant root access but keep no files.
func writable(path string) error {
	if err := unix.Access(path, unix.W_OK); err != nil {
		return err
	}
	var system unix.Statfs_t
	if err := unix.Statfs(path, &system); err != nil {
		return err
	}
	switch system.Type {
	case unix.PROC_SUPER_MAGIC, unix.SYSFS_MAGIC, unix.CGROUP_SUPER_MAGIC, unix.CGROUP2_SUPER_MAGIC:
		return errors.New("it belongs to the kernel, which keeps no files")
	}
	return nil
}

// spareFiles is how many files a process has open in addition to its calls and connections.
const spareFiles = 128

// problems lists what this machine lacks for a configuration. stops prevent the start; warnings do not. Missing rights
// are not errors, because the service may run as another user. Unknown values are left out.
func (m machine) problems(cfg *config.Config) (stops, warnings []warning) {
	if m.elsewhere {
		return nil, nil
	}
	stops, warnings = m.listeners(cfg)
	for _, look := range []func(*config.Config) ([]warning, error){m.store, m.recordings} {
		found, err := look(cfg)
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, errMadeByUnit) {
			warnings = append(warnings, found...)
		} else {
			stops = append(stops, found...)
		}
	}
	return stops, slices.Concat(warnings, inner(cfg), m.private(cfg), m.files(cfg), m.buffer(), m.ports(cfg), m.keys(cfg),
		m.kernel(cfg), m.transcoders(cfg))
}

// transcoders compares media.max_transcoded with what the relaying threads could carry if they did nothing else, about
// twice the default.
func (m machine) transcoders(cfg *config.Config) []warning {
	all := 2 * (&config.Media{}).Transcoded(m.processors)
	if most := cfg.Media.Transcoded(m.processors); m.processors > 0 && most > all {
		return []warning{{
			fmt.Sprintf("media.max_transcoded: %s would take the threads that relay from all other calls: %s carry %d at most",
				cli.Count(most, "call"), cli.Count(m.processors, "processor"), all),
			fmt.Sprintf("write at most %d, or leave it out for %d", all, all/2),
		}}
	}
	return nil
}

// kernel checks RTP in the kernel. With media.engine kernel, the start fails if the kernel can't relay. Even if it can,
// RTP may end with the process, or cost more CPU time because an optional right is missing.
func (m machine) kernel(cfg *config.Config) (found []warning) {
	if cfg.Media.Engine == config.EngineUserspace {
		return nil
	}
	err := m.relays()
	if err == nil {
		if err := m.mortal(cfg); err != nil && cfg.Media.Engine == config.EngineKernel {
			found = append(found, warning{
				fmt.Sprintf("media.engine: RTP in the kernel ends with the process: %v", err),
				kernel.DirRemedy,
			})
		}
		if err := m.slow(); err != nil {
			found = append(found, warning{fmt.Sprintf("media.engine: %v", err), kernel.SlowRemedy})
		}
		return found
	}
	if cfg.Media.Engine == config.EngineKernel {
		return []warning{{
			fmt.Sprintf("media.engine: this user can't have RTP relayed in the kernel, and then the start fails: %v", err),
			"see flowbridge help RTP in the kernel, or write engine: auto",
		}}
	}
	return nil
}

// mortal says why RTP in the kernel would end with the process.
func (m machine) mortal(cfg *config.Config) error {
	return m.outlives(kernel.Dir(cfg.Media.Listen[0].Addr, cfg.Media.PortLow), kernel.OldDir(cfg.Media.PortLow))
}

// media says how RTP would be carried if this user ran the service and, if not by the kernel, why. For another machine
// it returns the setting.
func (m machine) media(cfg *config.Config) string {
	if cfg.Media.Engine == config.EngineUserspace || m.elsewhere {
		return cfg.Media.Engine
	}
	if err := m.relays(); err != nil {
		return config.EngineUserspace +
			": the process relays audio itself, and needs nothing for that; the kernel would with less of the processor, but " + err.Error()
	}
	if err := m.mortal(cfg); err != nil && cfg.Media.Engine != config.EngineKernel {
		return config.EngineKernel + ": the kernel relays audio; it pauses while the process is restarted, because " + err.Error()
	}
	return config.EngineKernel + ": the kernel relays audio"
}

// enoughCalls is how many calls every process must have files for, if its configuration allows that many. The defaults
// of ports and trunks allow thousands of calls, which few machines ever have.
const enoughCalls = 1000

// files compares the limit of open files with the number needed: four sockets for each call at its start, and
// connections.
func (m machine) files(cfg *config.Config) []warning {
	limit, err := m.openFiles()
	if err != nil {
		return nil
	}
	calls := (int(cfg.Media.PortHigh) - int(cfg.Media.PortLow) + 1) / 4
	why := fmt.Sprintf("media.ports has room for %s", cli.Count(calls, "call"))
	if capped := maxCalls(cfg); capped < calls {
		calls, why = capped, fmt.Sprintf("the trunks may have %s", cli.Count(capped, "call"))
	}
	need, beside := uint64(4*calls), uint64(spareFiles)
	if slices.ContainsFunc(cfg.SIP.Listen, func(l config.Listener) bool { return l.Transport != config.TransportUDP }) {
		beside += uint64(cfg.SIP.Limits.Connections)
		why += fmt.Sprintf(" and sip.limits for %s", cli.Count(cfg.SIP.Limits.Connections, "connection"))
	}
	if limit >= min(need, 4*enoughCalls)+beside {
		return nil
	}
	need += beside
	return []warning{{
		fmt.Sprintf("a process may open %d files, but %s: that takes %d", limit, why, need),
		fmt.Sprintf("raise the limit where the service runs (LimitNOFILE=%d, ulimit -n), or lower media.ports or max_calls",
			need),
	}}
}

// maxCalls returns the sum of all trunks' call limits.
func maxCalls(cfg *config.Config) int {
	if len(cfg.Trunks) == 0 {
		return math.MaxInt
	}
	sum := 0
	for _, t := range cfg.Trunks {
		if t.MaxCalls <= 0 || sum > math.MaxInt32 {
			return math.MaxInt
		}
		sum += t.MaxCalls
	}
	return sum
}

// buffer warns that without CAP_NET_ADMIN a socket's buffer can't exceed the kernel's limit.
func (m machine) buffer() []warning {
	text, err := m.setting("net.core.rmem_max")
	if err != nil {
		return nil
	}
	limit, err := strconv.Atoi(text)
	if err != nil || limit >= transport.ReceiveBuffer {
		return nil
	}
	return []warning{{
		fmt.Sprintf("net.core.rmem_max is %d: SIP sockets get no larger receive buffer, and a burst of calls can be lost",
			limit),
		fmt.Sprintf("sysctl -w net.core.rmem_max=%d, and in /etc/sysctl.d; or give the process CAP_NET_ADMIN",
			transport.ReceiveBuffer),
	}}
}

// ports warns if media.ports overlap the ephemeral range, whose ports the kernel gives to any program.
func (m machine) ports(cfg *config.Config) []warning {
	text, err := m.setting("net.ipv4.ip_local_port_range")
	if err != nil {
		return nil
	}
	var low, high int
	if _, err := fmt.Sscan(text, &low, &high); err != nil {
		return nil
	}
	first, last := max(low, int(cfg.Media.PortLow)), min(high, int(cfg.Media.PortHigh))
	reserved, _ := m.setting("net.ipv4.ip_local_reserved_ports") // after an error, no port counts as reserved
	if first > last || covered(reserved, first, last) {
		return nil
	}
	return []warning{{
		fmt.Sprintf("the kernel gives ports %d-%d to any program (net.ipv4.ip_local_port_range %d-%d), and media.ports has %d-%d",
			first, last, low, high, cfg.Media.PortLow, cfg.Media.PortHigh),
		fmt.Sprintf("sysctl -w net.ipv4.ip_local_reserved_ports=%d-%d, and in /etc/sysctl.d; or choose media.ports below %d",
			first, last, low),
	}}
}

// warnOfPorts logs the warnings of ports. Without them, calls would lack a port now and then, and the cause would be
// hard to see.
func (m machine) warnOfPorts(cfg *config.Config, log zerolog.Logger) {
	for _, x := range m.ports(cfg) {
		log.Warn().Str("problem", x.Problem).Str("remedy", x.Remedy).Msg("other programs may take media.ports")
	}
}

// WarnOfPorts warns if other programs may take ports of media.ports.
func WarnOfPorts(cfg *config.Config, log zerolog.Logger) { thisMachine().warnOfPorts(cfg, log) }

// covered reports whether a list like "8080,10000-20000" contains all ports from first to last.
func covered(list string, first, last int) bool {
	next := first
	for part := range strings.SplitSeq(list, ",") { // the kernel keeps the list sorted
		from, to, ranged := strings.Cut(strings.TrimSpace(part), "-")
		low, err := strconv.Atoi(from)
		if err != nil {
			continue
		}
		high := low
		if ranged {
			if high, err = strconv.Atoi(to); err != nil {
				continue
			}
		}
		if low <= next && next <= high {
			next = high + 1
		}
	}
	return next > last
}

// stateDirectory is the directory that systemd creates when it starts the service.
const stateDirectory = "/var/lib/flowbridge"

var errMadeByUnit = errors.New("it is not there yet; the systemd unit makes it")

// store checks that the database and its directory are writable.
func (m machine) store(cfg *config.Config) ([]warning, error) {
	path := cfg.Store.Path
	dir := filepath.Dir(path)
	if err := m.writable(dir); err != nil {
		if dir == stateDirectory && errors.Is(err, fs.ErrNotExist) {
			err = errMadeByUnit
		}
		return []warning{{
			fmt.Sprintf("store.path: the directory %s can't be written by this user: %v", dir, err),
			"create it, or give it to the user that runs the service, or choose another path",
		}}, err
	}
	if err := m.writable(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return []warning{{
			fmt.Sprintf("store.path: %s can't be written by this user: %v", path, err),
			"give it to the user that runs the service, with the files beside it that begin with its name",
		}}, err
	}
	return nil, nil
}

// recordings checks the directory of recordings. If it is missing, the start creates it, so the nearest existing parent
// must be writable.
func (m machine) recordings(cfg *config.Config) ([]warning, error) {
	path := cfg.Recording.Path
	if path == "" {
		return nil, nil
	}
	dir := filepath.Clean(path)
	err := m.writable(dir)
	for errors.Is(err, fs.ErrNotExist) && dir != filepath.Dir(dir) {
		dir = filepath.Dir(dir)
		err = m.writable(dir)
	}
	if mode, unknown := m.mode(dir); err == nil && unknown == nil && !mode.IsDir() {
		err = unix.ENOTDIR
	}
	if err == nil {
		return nil, nil
	}
	return []warning{{
		fmt.Sprintf("recording.path: %s can't be written or made by this user, for %s: %v", path, dir, err),
		"create the directory, or give it to the user that runs the service, or choose another path",
	}}, err
}

// keys warns of private keys that other users can read.
func (m machine) keys(cfg *config.Config) []warning {
	files := []string{cfg.SIP.TLS.Key}
	for _, t := range cfg.Targets {
		files = append(files, t.TLS.Key)
	}
	for _, t := range cfg.Trunks {
		files = append(files, t.TLS.Key)
	}
	slices.Sort(files)
	var found []warning
	for _, file := range slices.Compact(files) {
		if file == "" {
			continue
		}
		if mode, err := m.mode(file); err == nil && mode.Perm()&0o004 != 0 {
			found = append(found, warning{
				fmt.Sprintf("every user of this machine may read the private key %s (mode %04o)", file, mode.Perm()),
				"chmod o-r " + file + ", and a new key if others have been on the machine",
			})
		}
	}
	return found
}
