package node

import (
	"fmt"
	"net/netip"
	"runtime"

	"flowbridge/config"
	"flowbridge/live"
	"flowbridge/media"
	"flowbridge/media/kernel"
)

// mediaWorkers is the number of relay threads for a number of processors. A thread can carry some 1,500 calls; idle
// ones cost wake-ups.
func mediaWorkers(processors int) int { return max(processors/4, 1) }

// mediaConfig is the configuration of the media engine.
func mediaConfig(m *config.Media) media.Config {
	c := media.Config{Workers: mediaWorkers(runtime.NumCPU()), PortLow: m.PortLow, PortHigh: m.PortHigh, Timeout: m.Timeout, StartTimeout: m.StartTimeout, DSCP: m.DSCP}
	for _, l := range m.Listen {
		c.Listen = append(c.Listen, l.Addr)
		if l.Advertise.IsValid() {
			c.Advertised = append(c.Advertised, l.Advertise)
		}
	}
	if a, err := netip.ParseAddr(m.Advertise); err == nil { // else there is none
		c.Advertised = append(c.Advertised, a)
	}
	return c
}

// bpfDir is the directory of the kernel's flows, one for each first port: there the next process finds them.
const bpfDir = "/sys/fs/bpf/flowbridge-%d"

// openMedia opens the media engine, on the path that media.engine wants.
func (n *Node) openMedia(m *config.Media) error {
	c := mediaConfig(m)
	if m.Engine == config.EngineUserspace {
		n.carried = live.Media{Engine: config.EngineUserspace, Detail: "media.engine"}
	} else if err := n.openKernel(m); err != nil {
		return err
	}
	c.Kernel = n.kernel
	var err error
	if n.engine, err = media.Open(c); err != nil {
		return fmt.Errorf("media.listen or media.ports: %w", err)
	}
	n.onClose(n.engine.Close)
	if n.before != nil {
		n.engine.Freeze()
	}
	return nil
}

// openKernel opens the relay in the kernel: with a directory for what outlives the process, or else without.
func (n *Node) openKernel(m *config.Media) error {
	o := kernel.Options{Dir: fmt.Sprintf(bpfDir, m.PortLow), Capacity: 2 * m.Calls(), Timeout: m.Timeout}
	relay, mortal := kernel.Open(o)
	err := mortal
	if err != nil {
		o.Dir = ""
		relay, err = kernel.Open(o)
	}
	switch {
	case err == nil:
		n.kernel = relay
		n.onClose(func() error { relay.Close(); return nil })
		line := n.log.Info().Str("attached", relay.Path())
		if mortal != nil {
			line.AnErr("ends_with_process", mortal)
		} else {
			line.Int("adopted", relay.Adopted())
		}
		line.Msg("the kernel relays RTP")
	case m.Engine == config.EngineKernel:
		return fmt.Errorf("media.engine: kernel: %w; docs/operations.md says what it needs, and auto goes on without", err)
	default:
		n.carried = live.Media{Engine: config.EngineUserspace, Detail: err.Error()}
		n.log.Info().AnErr("reason", err).Msg("RTP is relayed in userspace")
	}
	return nil
}

// mediaPath is what carries RTP.
func (n *Node) mediaPath() live.Media {
	if n.kernel == nil {
		return n.carried
	}
	return live.Media{Engine: config.EngineKernel, Detail: n.kernel.Path()}
}
