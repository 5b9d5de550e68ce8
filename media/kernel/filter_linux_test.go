//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"net"
	"os/exec"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
)

// No hook of nftables sees a packet that the kernel relays. XDP does, because it comes first. docs/security.md states
// this.
func TestPacketFilter(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("needs nft: apt-get install nftables")
	}
	inLab(t, func(t *testing.T, l *lab) {
		r := open(t)
		a, b := l.a.phone("10.81.1.2:4000"), l.b.phone("10.81.2.2:5000")
		f := Flow{In: ap("10.81.1.1:20000"), Source: a.addr, Out: ap("10.81.2.1:20002"), Dest: b.addr, SSRC: 7}
		must(t, put(r, f, State{}))
		for _, hook := range []struct{ family, chain string }{
			{"inet", "hook prerouting priority -300"},
			{"inet", "hook input priority -300"},
			{"inet", "hook forward priority 0"},
			{"inet", "hook output priority 0"},
			{"inet", "hook postrouting priority 0"},
			{"netdev", "hook ingress device left priority -500"},
			{"netdev", "hook egress device right priority 0"},
		} {
			run(t, "nft", "add table "+hook.family+" t")
			run(t, "nft", "add chain "+hook.family+" t c { type filter "+hook.chain+"; }")
			run(t, "nft", "add rule "+hook.family+" t c meta l4proto udp drop")
			a.reaches(b, f, rtp(1, 160, 7, 0, hook.chain))
			run(t, "nft", "delete table "+hook.family+" t")
		}
		dropAll(t, "left")
		a.send(f.In, rtp(2, 320, 7, 0, "XDP"))
		b.silent()
	})
}

// dropAll attaches an XDP program that drops all packets.
func dropAll(t *testing.T, name string) {
	t.Helper()
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "MIT", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 1), asm.Return()}, // XDP_DROP
	})
	must(t, err)
	defer program.Close()
	at, err := net.InterfaceByName(name)
	must(t, err)
	attached, err := link.AttachXDP(link.XDPOptions{Program: program, Interface: at.Index})
	must(t, err)
	t.Cleanup(func() { _ = attached.Close() })
}
