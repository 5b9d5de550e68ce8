//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// patience is how long a test waits for an event.
const patience = 20 * time.Second

// localMTU is larger than any packet.
const localMTU = 65535

// lab is three machines in a row. The test and the relay run on the middle one, between two peers.
//
//	a 10.81.1.2 ---- 10.81.1.1 left | right 10.81.2.1 ---- 10.81.2.2 b
type lab struct {
	t    *testing.T
	a, b *host
}

// host is a network namespace with a thread in it.
type host struct {
	t   *testing.T
	do  chan func()
	tid int
}

// inLab runs f in a lab. The lab ends with f, and so do all sockets that were opened in it.
func inLab(t *testing.T, f func(*testing.T, *lab)) {
	t.Helper()
	needsRoot(t)
	t.Run("in a lab", func(t *testing.T) { // runs in a goroutine of its own
		if err := isolate(); err != nil {
			t.Skipf("needs network namespaces: %v", err)
		}
		l := &lab{t: t, a: newHost(t), b: newHost(t)}
		run(t, "ip", "link", "set", "lo", "up")
		l.cable("left", 1, l.a)
		l.cable("right", 2, l.b)
		f(t, l)
	})
}

// needsRoot skips a test if the process may not create networks and load programs.
func needsRoot(tb testing.TB) {
	tb.Helper()
	if os.Geteuid() != 0 {
		tb.Skip("needs root, for network namespaces and BPF")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		tb.Skip("needs ip, for network namespaces")
	}
	if err := unix.Access("/sys/fs/bpf", unix.F_OK); err != nil {
		tb.Skip("needs a BPF file system")
	}
}

// isolate puts the goroutine's thread into a new network namespace. The thread ends with the goroutine, because it
// stays locked.
func isolate() error {
	runtime.LockOSThread()
	return os.NewSyscallError("unshare", unix.Unshare(unix.CLONE_NEWNET))
}

func newHost(t *testing.T) *host {
	t.Helper()
	h := &host{t: t, do: make(chan func())}
	ended, isolated := make(chan struct{}), make(chan error)
	go func() {
		defer close(ended)
		h.tid = unix.Gettid()
		err := isolate()
		h.tid = unix.Gettid()
		isolated <- err
		for do := range h.do {
			do()
		}
	}()
	err := <-isolated
	t.Cleanup(func() {
		close(h.do)
		<-ended
	})
	must(t, err)
	h.run("ip", "link", "set", "lo", "up")
	return h
}

// cable connects a host, with addresses of both versions of IP.
func (l *lab) cable(name string, net int, to *host) {
	l.t.Helper()
	run(l.t, "ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", tid(to))
	for _, prefix := range []string{"10.81.%d.%d/24", "fd81:%d::%d/64"} {
		near := []string{"ip", "addr", "add", fmt.Sprintf(prefix, net, 1), "dev", name}
		far := []string{"ip", "addr", "add", fmt.Sprintf(prefix, net, 2), "dev", "eth0"}
		if strings.Contains(prefix, ":") {
			near, far = append(near, "nodad"), append(far, "nodad")
		}
		run(l.t, near...)
		to.run(far...)
	}
	run(l.t, "ip", "link", "set", name, "up")
	to.run("ip", "link", "set", "eth0", "up")
	to.run("ip", "route", "add", "default", "via", fmt.Sprintf("10.81.%d.1", net))
	to.run("ip", "route", "add", "default", "via", fmt.Sprintf("fd81:%d::1", net))
}

func run(tb testing.TB, command ...string) {
	tb.Helper()
	if out, err := exec.Command(command[0], command[1:]...).CombinedOutput(); err != nil {
		tb.Fatalf("%s: %v: %s", strings.Join(command, " "), err, out)
	}
}

// in runs f in the host's namespace.
func (h *host) in(f func() error) {
	h.t.Helper()
	failed := make(chan error)
	h.do <- func() { failed <- f() }
	must(h.t, <-failed)
}

func (h *host) run(command ...string) {
	h.t.Helper()
	h.in(func() error {
		out, err := exec.Command(command[0], command[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, out)
		}
		return nil
	})
}

// phone is a UDP socket.
type phone struct {
	t    testing.TB
	conn *net.UDPConn
	addr netip.AddrPort
}

// phone opens a socket at the host.
func (h *host) phone(addr string) *phone {
	h.t.Helper()
	var p *phone
	h.in(func() (err error) {
		p, err = listen(h.t, addr)
		return err
	})
	return p
}

// listen opens a socket in the thread's namespace.
func listen(tb testing.TB, addr string) (*phone, error) {
	tb.Helper()
	network, at := "udp6", ap(addr)
	if at.Addr().Is4() {
		network = "udp4"
	}
	conn, err := net.ListenUDP(network, net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, err
	}
	tb.Cleanup(func() { _ = conn.Close() })
	return &phone{t: tb, conn: conn, addr: conn.LocalAddr().(*net.UDPAddr).AddrPort()}, nil
}

func newPhone(tb testing.TB, addr string) *phone {
	tb.Helper()
	p, err := listen(tb, addr)
	must(tb, err)
	return p
}

func (p *phone) send(to netip.AddrPort, pkt []byte) {
	p.t.Helper()
	if _, err := p.conn.WriteToUDPAddrPort(pkt, to); err != nil {
		p.t.Fatal(err)
	}
}

// expect checks that the next packet is this one, from this address.
func (p *phone) expect(from netip.AddrPort, want []byte) {
	p.t.Helper()
	got, src, ok := p.hear(patience)
	if !ok {
		p.t.Fatalf("%v heard nothing; want %x from %v", p.addr, want, from)
	}
	if src != from || string(got) != string(want) {
		p.t.Fatalf("%v heard %x from %v; want %x from %v", p.addr, got, src, want, from)
	}
}

// reaches sends a packet to a flow. It must arrive at the other phone unchanged.
func (p *phone) reaches(other *phone, f Flow, pkt []byte) {
	p.t.Helper()
	p.send(f.In, pkt)
	other.expect(f.Out, pkt)
}

// silent checks that no packet has arrived. Packets keep their order, so earlier ones have arrived by now.
func (p *phone) silent() {
	p.t.Helper()
	if got, src, ok := p.hear(50 * time.Millisecond); ok {
		p.t.Fatalf("%v heard %x from %v; want nothing", p.addr, got, src)
	}
}

func (p *phone) hear(within time.Duration) ([]byte, netip.AddrPort, bool) {
	p.t.Helper()
	buf := make([]byte, 1<<16)
	_ = p.conn.SetReadDeadline(time.Now().Add(within))
	n, src, err := p.conn.ReadFromUDPAddrPort(buf)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, src, false
	}
	must(p.t, err)
	return buf[:n], netip.AddrPortFrom(src.Addr().Unmap(), src.Port()), true
}

// offload makes an interface of the thread's namespace leave checksums to the device, or stops that.
func offload(tb testing.TB, name string, on bool) {
	tb.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	must(tb, err)
	defer unix.Close(fd)
	value := struct{ cmd, data uint32 }{cmd: 0x17} // ETHTOOL_STXCSUM
	if on {
		value.data = 1
	}
	ifr := struct {
		name [unix.IFNAMSIZ]byte
		data unsafe.Pointer
		_    [16]byte
	}{data: unsafe.Pointer(&value)}
	copy(ifr.name[:], name)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), 0x8946 /* SIOCETHTOOL */, uintptr(unsafe.Pointer(&ifr))); errno != 0 {
		tb.Fatalf("checksums of %s: %v", name, errno)
	}
}

// bpffs mounts a BPF file system for pins, which users other than root can reach.
func bpffs(tb testing.TB) string {
	tb.Helper()
	base, err := os.MkdirTemp("", "flowbridge-kernel-") //nolint:usetesting // others than root can't get into a directory of testing
	must(tb, err)
	tb.Cleanup(func() { _ = os.RemoveAll(base) })
	dir := filepath.Join(base, "bpf")
	must(tb, errors.Join(os.Chmod(base, 0o711), os.Mkdir(dir, 0o711)))
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0711"); err != nil {
		tb.Skipf("needs the right to mount a BPF file system: %v", err)
	}
	tb.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// await waits until an event has happened, and fails if it takes too long.
func await(tb testing.TB, what string, happened func() bool) {
	tb.Helper()
	for end := time.Now().Add(patience); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// open opens a relay in the thread's namespace. Before Linux 6.6 a relay needs a directory.
func open(tb testing.TB, change ...func(*Options)) *Relay {
	tb.Helper()
	o := Options{Capacity: 64}
	for _, c := range change {
		c(&o)
	}
	r, err := Open(o)
	if err != nil && strings.Contains(err.Error(), "before Linux 6.6") {
		o.Dir = filepath.Join(bpffs(tb), "relay")
		r, err = Open(o)
	}
	must(tb, err)
	tb.Cleanup(r.Close)
	return r
}

// put adds a flow to a relay, and waits for its route.
func put(r *Relay, f Flow, s State) error {
	for { // repeated, because the routes may have been renewed in between
		r.Look(f)
		if err := r.Put(f, s); !errors.Is(err, ErrUnknown) {
			return err
		}
	}
}

// where returns the interfaces in a relay's path, which do not depend on the kernel.
func where(r *Relay) string {
	_, where, _ := strings.Cut(r.Path(), " on ")
	return where
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// rtp returns a packet with a payload.
func rtp(seq uint16, timestamp, ssrc uint32, payloadType uint8, payload string) []byte {
	return append([]byte{
		0x80, payloadType, byte(seq >> 8), byte(seq), byte(timestamp >> 24), byte(timestamp >> 16), byte(timestamp >> 8), byte(timestamp),
		byte(ssrc >> 24), byte(ssrc >> 16), byte(ssrc >> 8), byte(ssrc),
	}, payload...)
}

// tid returns the name by which the ip command identifies a host's namespace.
func tid(h *host) string { return fmt.Sprint(h.tid) }

// received returns how many packets have arrived at the other end of a cable.
func received(tb testing.TB, name string) (n int) {
	tb.Helper()
	out, err := exec.Command("ip", "-s", "-j", "link", "show", name).Output()
	must(tb, err)
	var links []struct {
		Stats struct{ TX struct{ Packets int } } `json:"stats64"`
	}
	if err := json.Unmarshal(out, &links); err != nil || len(links) != 1 {
		tb.Fatalf("%s: %v", out, err)
	}
	return links[0].Stats.TX.Packets
}
