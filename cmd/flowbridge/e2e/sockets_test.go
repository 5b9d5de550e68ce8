//go:build e2e

package e2e

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// rtpPorts returns media.ports of the server's configuration, or the default.
func (s *server) rtpPorts() (first, last uint16) {
	s.t.Helper()
	text, _ := os.ReadFile(filepath.Join(s.dir, "flowbridge.yaml")) // a packaged server has it elsewhere
	if _, ports, ok := strings.Cut(string(text), ", ports: "); ok {
		if n, err := fmt.Sscanf(ports, "%d-%d", &first, &last); n != 2 {
			s.t.Fatal(err)
		}
		return first, last
	}
	return 10000, 32767
}

// sockets counts the server's open sockets: UDP sockets without those of RTP, listeners, and connections to the admin
// API and for SIP. It leaves out kept-alive connections to a platform's API, which may stay open for a while.
// portsInUse counts the sockets of RTP.
type sockets struct{ udp, listening, accepted, sip int }

func (s *server) sockets() sockets {
	s.t.Helper()
	mine := s.socketInodes()
	// A socket that is in none of these tables is UDP. If a row is missing from a table, the count is one too high, and
	// the caller looks again. It is never too low.
	n := sockets{udp: len(mine) - countIn(netTables+"netlink", 9, mine) - countIn(netTables+"unix", 6, mine)}
	first, last := s.rtpPorts()
	for _, table := range []string{"udp", "udp6"} {
		for _, row := range kernelTable(s.t, table) {
			if mine[row.inode] && s.isRTP(row, first, last) {
				n.udp--
			}
		}
	}
	admin := s.admin[strings.LastIndexByte(s.admin, ':')+1:]
	for _, table := range []string{"tcp", "tcp6"} {
		for _, row := range kernelTable(s.t, table) {
			if !mine[row.inode] {
				continue
			}
			n.udp--
			switch {
			case row.state == "0A":
				n.listening++
			case fmt.Sprint(row.port) == admin:
				n.accepted++
			case s.isSIP(row):
				n.sip++
			}
		}
	}
	return n
}

// socketTable returns the server's open sockets in the form of the kernel's tables.
func (s *server) socketTable() string {
	s.t.Helper()
	pid := fmt.Sprintf("pid=%d,", s.pid())
	out, err := exec.Command("ss", "--no-header", "-anep").Output()
	if err != nil {
		return fmt.Sprintf("ss: %v", err)
	}
	lines := slices.DeleteFunc(strings.Split(string(out), "\n"), func(line string) bool { return !strings.Contains(line, pid) })
	return strings.Join(lines, "\n")
}

// isRTP reports whether a UDP socket is for RTP: its port is in the range for RTP, or calls in the kernel share it.
// Shared sockets are at the loopback address. A listener is neither, although its port may be in the range, or equal to
// the port of a shared socket.
func (s *server) isRTP(row tableRow, first, last uint16) bool {
	if slices.ContainsFunc(s.sips, func(l listener) bool { return l.transport == "udp" && row.at(l.addr) }) {
		return false
	}
	shared := row.host == kernelHost(netip.AddrFrom4([4]byte{127, 0, 0, 1})) || row.host == kernelHost(netip.IPv6Loopback())
	return shared || row.port >= first && row.port <= last
}

// TestPortOfAListenerElsewhere gives a socket that calls share the port of a listener, at its own address.
func TestPortOfAListenerElsewhere(t *testing.T) {
	s := &server{sips: []listener{{"udp", netip.MustParseAddrPort("127.0.1.1:36231")}}}
	for _, c := range []struct {
		at    string
		isRTP bool
	}{
		{"127.0.1.1:36231", false},
		{"127.0.0.1:36231", true},
		{"127.0.1.1:10000", true},
		{"127.0.1.1:9999", false},
	} {
		at := netip.MustParseAddrPort(c.at)
		if row := (tableRow{host: kernelHost(at.Addr()), port: at.Port()}); s.isRTP(row, 10000, 40000) != c.isRTP {
			t.Errorf("%s is one of RTP: %v; want %v", c.at, !c.isRTP, c.isRTP)
		}
	}
}

// isSIP reports whether a connection is one that a peer opened to a listener of ours, or that we opened to a target.
func (s *server) isSIP(row tableRow) bool {
	return slices.Contains(s.targets, row.remotePort) ||
		slices.ContainsFunc(s.sips, func(l listener) bool { return l.transport != "udp" && l.addr.Port() == row.port })
}

func (s *server) socketInodes() map[string]bool {
	s.t.Helper()
	dir := fmt.Sprintf("/proc/%d/fd", s.pid())
	entries, err := os.ReadDir(dir)
	must(s.t, err)
	mine := map[string]bool{}
	for _, e := range entries {
		target, _ := os.Readlink(filepath.Join(dir, e.Name())) // it may be closed by now
		if inode, ok := strings.CutPrefix(target, "socket:["); ok {
			mine[strings.TrimSuffix(inode, "]")] = true
		}
	}
	return mine
}

// netTables is the directory with the kernel's tables of sockets as the calling thread sees them. /proc/net has them as
// the main thread sees them, and an earlier test may have left the main thread in a network namespace (ownNetwork).
const netTables = "/proc/thread-self/net/"

// tableRow is a line of the table udp or a similar one.
type tableRow struct {
	host       string // in the kernel's hexadecimal
	port       uint16
	remotePort uint16
	state      string
	inode      string
}

func kernelTable(t *testing.T, name string) []tableRow {
	t.Helper()
	text, err := os.ReadFile(netTables + name)
	if err != nil {
		return nil // the kernel lacks this address family
	}
	var rows []tableRow
	for _, line := range strings.Split(string(text), "\n")[1:] {
		f := strings.Fields(line)
		if len(f) < 10 {
			continue
		}
		var r tableRow
		host, port, _ := strings.Cut(f[1], ":")
		_, remote, _ := strings.Cut(f[2], ":")
		if _, err := fmt.Sscanf(port+" "+remote, "%X %X", &r.port, &r.remotePort); err != nil {
			t.Fatal(err)
		}
		r.host, r.state, r.inode = host, f[3], f[9]
		rows = append(rows, r)
	}
	return rows
}

// countIn returns how many of these inodes are in a column, counted from 0, of a table of the kernel.
func countIn(table string, column int, inodes map[string]bool) (n int) {
	text, _ := os.ReadFile(table) // a missing table counts as empty
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) > column && inodes[f[column]] {
			n++
		}
	}
	return n
}

// bound reports whether a socket is bound to an address, and for TCP listens.
func bound(t *testing.T, transport string, addr netip.AddrPort) bool {
	t.Helper()
	table := transport
	if addr.Addr().Is6() {
		table += "6"
	}
	return slices.ContainsFunc(kernelTable(t, table), func(r tableRow) bool {
		return r.at(addr) && (transport == "udp" || r.state == "0A")
	})
}

// at reports whether a socket is bound to an address.
func (r tableRow) at(addr netip.AddrPort) bool {
	return r.port == addr.Port() && r.host == kernelHost(addr.Addr())
}

// kernelHost returns an address in the form of the kernel's tables: words in the byte order of the machine, which is
// little-endian.
func kernelHost(a netip.Addr) string {
	b := a.AsSlice()
	for i := 0; i < len(b); i += 4 {
		slices.Reverse(b[i : i+4])
	}
	return strings.ToUpper(fmt.Sprintf("%x", b))
}
