package node

import (
	"bufio"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"flowbridge/config"
)

// The kernel relays for a process that holds no sockets at the ports of its calls. So the system does not keep another
// process from using these ports, and each process would get the other's packets. Therefore processes announce their
// ports in the name of an abstract Unix socket (unix(7)). All processes of the network namespace can read the name,
// and it disappears with the process, however the process ends.
const announcement = "flowbridge-media"

// portsInUse holds the media ports of a process at one address.
type portsInUse struct {
	Process   int
	Engine    string
	Addr      netip.Addr
	Low, High uint16
}

func (p portsInUse) name() string {
	return fmt.Sprintf("@%s %d %s %s %d %d", announcement, p.Process, p.Engine, p.Addr, p.Low, p.High)
}

// parsePortsInUse parses a line of /proc/net/unix. ok is false for other sockets.
func parsePortsInUse(line string) (p portsInUse, ok bool) {
	_, said, found := strings.Cut(line, "@"+announcement+" ")
	if !found {
		return p, false
	}
	var addr string
	if _, err := fmt.Sscanf(said, "%d %s %s %d %d", &p.Process, &p.Engine, &addr, &p.Low, &p.High); err != nil {
		return p, false
	}
	var err error
	p.Addr, err = netip.ParseAddr(addr)
	return p, err == nil
}

// clashes reports whether either process may get the other's packets.
func (p portsInUse) clashes(q portsInUse) bool {
	sameAddr := p.Addr == q.Addr || (p.Addr.Is4() == q.Addr.Is4() && (p.Addr.IsUnspecified() || q.Addr.IsUnspecified()))
	return p.Process != q.Process && sameAddr && p.Low <= q.High && q.Low <= p.High &&
		(p.Engine == config.EngineKernel || q.Engine == config.EngineKernel)
}

// announce announces the ports of this process. It warns of other processes with some of the same ports, except the
// process that this one replaces.
func (r *rtp) announce(m *config.Media, replaces bool) {
	for _, l := range m.Listen {
		own := portsInUse{Process: os.Getpid(), Engine: r.path().Engine, Addr: l.Addr, Low: m.PortLow, High: m.PortHigh}
		if c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: own.name()}); err == nil {
			r.closers = append(r.closers, c.Close)
		}
		for _, other := range portsOfOthers(own) {
			if replaces && other.Process == os.Getppid() {
				continue
			}
			r.log.Warn().Int("process", other.Process).Stringer("address", other.Addr).Uint16("from", other.Low).
				Uint16("to", other.High).
				Str("remedy", "give one of the two other media.ports").
				Msg("another process has the same media ports: each may get audio of the other's calls")
		}
	}
}

// portsOfOthers returns the clashing ports of other processes.
func portsOfOthers(own portsInUse) (clashing []portsInUse) {
	f, err := os.Open("/proc/net/unix")
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if p, ok := parsePortsInUse(lines.Text()); ok && p.clashes(own) {
			clashing = append(clashing, p)
		}
	}
	return clashing
}
