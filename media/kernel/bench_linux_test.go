//go:build 386 || amd64 || arm || arm64 || loong64 || mips64le || mipsle || ppc64le || riscv64

package kernel

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// BenchmarkProgram measures how long the program takes for a packet, with 10,000 flows. It does not include what the
// kernel does before and after.
func BenchmarkProgram(b *testing.B) {
	m := newMachine(b)
	for _, c := range []struct {
		name     string
		v6       bool
		src, dst int // offsets that are added to the ports
		ssrc     uint32
		change   Rewrite
		wanted   int32
	}{
		{name: "relayed", ssrc: 7, wanted: verdictOK},
		{name: "relayed, IPv6", ssrc: 7, v6: true, wanted: verdictOK},
		{name: "rewritten", ssrc: 7, change: Rewrite{SSRC: 9, SeqOffset: 1, TimeOffset: 1, Payload: [8]PayloadChange{7: {From: 0, To: 8}}}, wanted: verdictOK},
		{name: "wrong source", ssrc: 7, src: 1, wanted: verdictDrop},
		{name: "wrong SSRC", ssrc: 8, wanted: verdictDrop},
		{name: "unknown port", dst: 1, wanted: verdictUp},
	} {
		b.Run(c.name, func(b *testing.B) {
			defer m.clear(b)
			var f *modelFlow
			for i := range 10000 {
				port := uint16(10000 + 2*i)
				f = &modelFlow{Flow: Flow{
					In: ap(fmt.Sprintf("10.0.0.1:%d", port)), Source: ap("10.0.0.2:4000"), Out: ap("10.0.0.1:9000"), Dest: ap("10.0.0.3:5000"),
					SSRC: 7, Rewrite: c.change,
				}, mtu: localMTU}
				if c.v6 {
					f.In, f.Source = ap(fmt.Sprintf("[fd00::1]:%d", port)), ap("[fd00::2]:4000")
					f.Out, f.Dest = ap("[fd00::1]:9000"), ap("[fd00::3]:5000")
				}
				f.state.Last = Now() + 1e12 // in the future, so that the flow counts as heard during the whole test
				m.put(b, uint32(i)+1, f)
			}
			frame := datagram(
				netip.AddrPortFrom(f.Source.Addr(), f.Source.Port()+uint16(c.src)), netip.AddrPortFrom(f.In.Addr(), f.In.Port()+uint16(c.dst)),
				0, 255, rtp(1, 160, c.ssrc, 0, string(make([]byte, 160))))
			// A relayed packet is changed, so it is run only as often as its TTL allows. The flow leads back to itself, so that
			// each run finds a flow.
			repeat := 1000000
			if c.wanted == verdictOK {
				f.Out, f.Dest = f.Source, f.In
				f.Rewrite.SSRC = 7 * min(f.Rewrite.SSRC, 1)
				m.put(b, 10000, f)
				repeat = 200
			}
			total, runs := int64(0), 0
			for b.Loop() {
				verdict, each, err := m.program.Relay.Benchmark(frame, repeat, nil)
				if err != nil || int32(verdict) != c.wanted {
					b.Fatalf("%d, %v", int32(verdict), err)
				}
				total, runs = total+each.Nanoseconds(), runs+1
			}
			b.ReportMetric(float64(total)/float64(runs), "ns/packet")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkProgramCold measures the same for packets of 10,000 flows in turn, so that the flows are not in the
// processor's cache. It reports the median, including the time to read the clock.
func BenchmarkProgramCold(b *testing.B) {
	m := newMachine(b)
	var frames [][]byte
	for i := range 10000 {
		port := uint16(10000 + 2*i)
		f := &modelFlow{Flow: Flow{
			In: ap(fmt.Sprintf("10.0.0.1:%d", port)), Source: ap("10.0.0.2:4000"), Out: ap("10.0.0.1:9000"), Dest: ap("10.0.0.3:5000"), SSRC: 7,
		}, mtu: localMTU}
		f.state.Last = Now() + 1e12
		m.put(b, uint32(i)+1, f)
		frames = append(frames, datagram(f.Source, f.In, 0, 255, rtp(1, 160, 7, 0, string(make([]byte, 160)))))
	}
	defer m.clear(b)
	var took []time.Duration
	for b.Loop() {
		for _, frame := range frames {
			verdict, each, err := m.program.Relay.Benchmark(frame, 1, nil)
			if err != nil || int32(verdict) != verdictOK {
				b.Fatalf("%d, %v", int32(verdict), err)
			}
			took = append(took, each)
		}
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2]), "ns/packet")
	b.ReportMetric(0, "ns/op")
}

// cpu returns a function that reports the processor time for each operation since then. It does not include the load of
// other processes.
func cpu(b *testing.B) func() {
	b.Helper()
	used := func() (ns int64) {
		var u unix.Rusage
		must(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
		return u.Utime.Nano() + u.Stime.Nano()
	}
	began := used()
	return func() { b.ReportMetric(float64(used()-began)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkPut measures adding and removing a flow, and compares it with opening, binding and closing four sockets.
func BenchmarkPut(b *testing.B) {
	needsRoot(b)
	b.Run("flow", func(b *testing.B) {
		r := open(b)
		f := Flow{In: ap("127.0.0.1:20000"), Source: ap("127.0.0.2:4000"), Out: ap("127.0.0.1:20002"), Dest: ap("127.0.0.3:5000"), SSRC: 7}
		defer cpu(b)()
		for b.Loop() {
			must(b, put(r, f, State{}))
			if _, ok := r.Remove(f.In); !ok {
				b.Fatal("the flow is gone")
			}
		}
	})
	b.Run("four sockets", func(b *testing.B) {
		defer cpu(b)()
		for b.Loop() {
			var fds [4]int
			for port := range fds {
				fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
				must(b, err)
				must(b, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: 20000 + port}))
				fds[port] = fd
			}
			for _, fd := range fds {
				_ = unix.Close(fd)
			}
		}
	})
}

// BenchmarkRead measures reading the states of 10,000 flows.
func BenchmarkRead(b *testing.B) {
	needsRoot(b)
	r := open(b, func(o *Options) { o.Capacity = 10000 })
	n := 0
	for i := range 10000 {
		f := Flow{Figures: func(*State) { n++ }, Source: ap("127.0.0.2:4000"), Out: ap("127.0.0.1:9000"), Dest: ap("127.0.0.3:5000"), SSRC: 7}
		f.In = netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(10000+2*i))
		must(b, put(r, f, State{}))
	}
	defer cpu(b)()
	for b.Loop() {
		n = 0
		if err := r.Read(); err != nil || n != 10000 {
			b.Fatal(n, err)
		}
	}
}
