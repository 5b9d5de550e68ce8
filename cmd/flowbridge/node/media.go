package node

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"slices"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/bridge"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/kernel"
	"flowbridge/telemetry/live"
)

// mediaConfig returns the configuration of the media engine.
func mediaConfig(m *config.Media) media.Config {
	c := media.Config{
		Workers: config.RelayThreads(runtime.NumCPU()), PortLow: m.PortLow, PortHigh: m.PortHigh,
		Timeout: m.Timeout, StartTimeout: m.Timeout, DSCP: m.DSCP,
	}
	for _, l := range m.Listen {
		c.Listen = append(c.Listen, l.Addr)
		if l.Advertise.IsValid() {
			c.Advertised = append(c.Advertised, l.Advertise)
		}
	}
	if a, err := netip.ParseAddr(m.Advertise); err == nil { // otherwise no address is advertised
		c.Advertised = append(c.Advertised, a)
	}
	return c
}

// rtp carries the RTP of calls.
type rtp struct {
	log     zerolog.Logger
	engine  *media.Engine
	kernel  *kernel.Relay  // nil if the kernel does not relay
	without string         // why the kernel does not relay
	closers []func() error // close everything that is open
}

// open opens the media engine on the path given by media.engine. In a process that replaces another, the engine starts
// frozen.
func (r *rtp) open(m *config.Media, before *Predecessor) error {
	c := mediaConfig(m)
	heir := before.file(partKernel)
	if m.Engine == config.EngineUserspace {
		if heir != nil {
			return errOtherKernel
		}
		r.without = "media.engine"
	} else if err := r.openKernel(m, heir); err != nil {
		return err
	}
	c.Kernel, c.OnOutage = r.kernel, r.tellOutage
	var err error
	if r.engine, err = media.Open(c); err != nil {
		return fmt.Errorf("media.listen or media.ports: %w", err)
	}
	r.closers = append(r.closers, r.engine.Close)
	r.announce(m, before != nil)
	if before != nil {
		r.engine.Freeze()
	}
	return nil
}

func (r *rtp) close() (err error) {
	for _, closes := range slices.Backward(r.closers) {
		err = errors.Join(err, closes())
	}
	return err
}

// tellOutage logs that most calls fell silent at once, and that the outage is over.
func (r *rtp) tellOutage(o media.Outage) {
	if o.Over {
		r.log.Info().Int("count", o.Sessions).Dur("since_ms", o.Since).Msg("most calls are heard again")
		return
	}
	r.log.Warn().Int("count", o.Sessions).Dur("since_ms", o.Since).
		Msg("most calls fell silent at once: they wait for the network")
}

// errOtherKernel prevents the kernel from relaying flows that no process knows of.
var errOtherKernel = errors.New(
	"media.engine, the first address of media.listen, or the first port of media.ports is another one, and calls have RTP in the kernel that can't go over: leave them as they are, or drain and restart")

// openKernel opens the relay in the kernel. If there is a directory that outlives the process, the relay is pinned
// there. heir is the old process's relay; it is nil if there is none.
func (r *rtp) openKernel(m *config.Media, heir *os.File) error {
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
		r.kernel = relay
		r.closers = append(r.closers, func() error { relay.Close(); return nil })
		r.log.Info().Str("attached", relay.Path()).Int("adopted", relay.Adopted()).Msg("relaying RTP in the kernel")
		if mortal != nil {
			level := zerolog.InfoLevel // a missing kernel relay is a fault only if the configuration asks for it
			if m.Engine == config.EngineKernel {
				level = zerolog.WarnLevel
			}
			r.log.WithLevel(level).AnErr("reason", mortal).Str("remedy", kernel.DirRemedy).
				Msg("RTP in the kernel ends with the process")
		}
	case m.Engine == config.EngineKernel:
		return fmt.Errorf("media.engine: kernel: %w; flowbridge help RTP in the kernel says what it needs, and auto goes on without", err)
	default:
		r.without = err.Error()
		r.log.Info().AnErr("reason", err).Msg("relaying RTP in userspace")
	}
	return nil
}

// path says what carries RTP: the kernel or this process.
func (r *rtp) path() live.Media {
	if r.kernel == nil {
		return live.Media{Engine: config.EngineUserspace, Detail: r.without}
	}
	return live.Media{Engine: config.EngineKernel, Detail: r.kernel.Path()}
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

// Resume continues the session of another process.
func (e engineRelay) Resume(c media.SessionConfig, st media.SessionState) (bridge.RelaySession, error) {
	s, err := e.Engine.Resume(c, st)
	if err != nil {
		return nil, err
	}
	return s, nil
}
