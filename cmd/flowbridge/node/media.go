package node

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/bridge"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/kernel"
	"flowbridge/telemetry/live"
)

// mediaWorkers is the number of relay threads for a number of processors. A thread can carry some 1,500 calls; idle
// ones cost wake-ups.
func mediaWorkers(processors int) int { return max(processors/4, 1) }

// mediaConfig is the configuration of the media engine.
func mediaConfig(m *config.Media) media.Config {
	c := media.Config{
		Workers: mediaWorkers(runtime.NumCPU()), PortLow: m.PortLow, PortHigh: m.PortHigh,
		Timeout: m.Timeout, StartTimeout: m.Timeout, DSCP: m.DSCP,
	}
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

// openMedia opens the media engine, on the path that media.engine wants.
func (n *Node) openMedia(m *config.Media) error {
	c := mediaConfig(m)
	heir := n.before.file(partKernel)
	if m.Engine == config.EngineUserspace {
		if heir != nil {
			return errOtherKernel
		}
		n.carried = live.Media{Engine: config.EngineUserspace, Detail: "media.engine"}
	} else if err := n.openKernel(m, heir); err != nil {
		return err
	}
	c.Kernel, c.OnOutage = n.kernel, n.tellOutage
	var err error
	if n.engine, err = media.Open(c); err != nil {
		return fmt.Errorf("media.listen or media.ports: %w", err)
	}
	n.add(part{close: n.engine.Close})
	n.announcePorts(m)
	if n.before != nil {
		n.engine.Freeze()
	}
	return nil
}

// tellOutage logs that most calls fell silent at once.
func (n *Node) tellOutage(o media.Outage) {
	if o.Over {
		n.log.Info().Int("count", o.Sessions).Dur("since_ms", o.Since).Msg("calls are heard again")
		return
	}
	n.log.Warn().Int("count", o.Sessions).Dur("since_ms", o.Since).
		Msg("most calls fell silent at once: they wait for the network")
}

// errOtherKernel: nobody would know of the flows that the kernel relays.
var errOtherKernel = errors.New(
	"media.engine, the first address of media.listen, or the first port of media.ports is another one, and calls have RTP in the kernel that can't go over: leave them as they are, or drain and restart")

// openKernel opens the relay in the kernel: with a directory for what outlives the process, or else without. heir is
// that of the process before; nil: it has none.
func (n *Node) openKernel(m *config.Media, heir *os.File) error {
	o := kernel.Options{
		Dir: kernel.Dir(m.Listen[0].Addr, m.PortLow), OldDir: kernel.OldDir(m.PortLow),
		Capacity: 2 * m.Calls(), Timeout: m.Timeout, Heir: heir,
	}
	relay, mortal := kernel.Open(o)
	err := mortal
	if err != nil && heir != nil {
		return fmt.Errorf("%w (%w)", errOtherKernel, err)
	}
	if err != nil {
		o.Dir, o.Heir = "", nil
		relay, err = kernel.Open(o)
	}
	switch {
	case err == nil:
		n.kernel = relay
		n.add(part{close: func() error { relay.Close(); return nil }})
		n.log.Info().Str("attached", relay.Path()).Int("adopted", relay.Adopted()).Msg("the kernel relays RTP")
		if mortal != nil {
			level := zerolog.InfoLevel // a machine without a BPF file system is no fault where nothing asks for the kernel
			if m.Engine == config.EngineKernel {
				level = zerolog.WarnLevel
			}
			n.log.WithLevel(level).AnErr("reason", mortal).Str("remedy", kernel.DirRemedy).
				Msg("RTP in the kernel ends with the process")
		}
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

// engineRelay is a media engine as calls see it.
type engineRelay struct{ *media.Engine }

// Open leases ports and opens a session.
func (e engineRelay) Open(c media.SessionConfig) (bridge.RelaySession, error) {
	s, err := e.NewSession(c)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Resume goes on with the session of another process.
func (e engineRelay) Resume(c media.SessionConfig, st media.SessionState) (bridge.RelaySession, error) {
	s, err := e.Engine.Resume(c, st)
	if err != nil {
		return nil, err
	}
	return s, nil
}
