package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"flowbridge/internal/handover"
	"flowbridge/store/fleet"
)

// A node falls silent if an address is gone, if a link stays down, if another node has the lease, or if the lease is
// not confirmed while all calls are silent.

const (
	// silenced is the environment variable that marks a process that has fallen silent. Such a process serves only if the
	// database confirms that it has the seat. If another node has the seat, it removes the addresses from the machine.
	silenced = "FLOWBRIDGE_SEAT_SILENCED"
	// linkPatience is how long the link of the seat's addresses may be down.
	linkPatience = time.Second
	// confirmPatience bounds the wait for the database's first answer after a link is up again.
	confirmPatience = 2 * time.Second
)

// watchNetwork returns a channel that signals changes of the machine's addresses and links, and also fires each
// second.
func watchNetwork(ctx context.Context, log zerolog.Logger) <-chan struct{} {
	changes := make(chan struct{}, 1)
	addresses, links := make(chan netlink.AddrUpdate, 16), make(chan netlink.LinkUpdate, 16)
	err := errors.Join(netlink.AddrSubscribe(addresses, ctx.Done()), netlink.LinkSubscribe(links, ctx.Done()))
	if err != nil {
		log.Warn().Err(err).Msg("can't watch addresses: polling")
	}
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-addresses:
			case <-links:
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			select {
			case changes <- struct{}{}:
			default:
			}
		}
	}()
	return changes
}

// errLinkDown means that the machine has an address, but no peer can be reached from it.
var errLinkDown = errors.New("the link of an address is down")

// missing says why the machine can't serve one of the seat's addresses, or returns nil.
func (s *seat) missing() error {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil // the addresses can't be read, so none counts as changed
	}
	for _, a := range s.addresses {
		if err := missingOf(a, all); err != nil {
			return err
		}
	}
	return nil
}

func missingOf(a netip.Addr, all []netlink.Addr) error {
	for i := range all {
		if at, ok := netip.AddrFromSlice(all[i].IP); !ok || at.Unmap() != a {
			continue
		}
		link, err := netlink.LinkByIndex(all[i].LinkIndex)
		if err != nil {
			continue
		}
		switch link.Attrs().OperState {
		case netlink.OperDown, netlink.OperLowerLayerDown, netlink.OperNotPresent:
			return fmt.Errorf("%w: %v on %s", errLinkDown, a, link.Attrs().Name)
		default:
			return nil
		}
	}
	c, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0))) // the whole network may be local
	if err == nil {
		_ = c.Close()
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return fmt.Errorf("this machine does not have the address %v", a) //nolint:err113 // shown, not handled
	}
	return nil
}

// guard makes the node fall silent when another node may have the seat.
func (s *seat) guard(ctx context.Context) {
	doubt := false
	for {
		select {
		case o := <-s.Lost():
			if o.Holds() { // otherwise this node may take it back
				s.takeOff(o.Node)
			}
			s.fallSilent(lostTo(&o))
			return
		case <-s.changes:
		case <-ctx.Done():
			return
		}
		switch why := s.missing(); {
		case errors.Is(why, errLinkDown) && !s.leaving.Load():
			why = s.waitForLink(ctx, why)
			if why == nil {
				continue
			}
			s.fallSilent(why.Error())
			return
		case s.leaving.Load():
			continue
		case why != nil:
			s.fallSilent(why.Error())
			return
		}
		s.Look()
		if s.Doubtful() != doubt {
			doubt = !doubt
			s.rtp.engine.Doubt(doubt)
		}
		if doubt && s.rtp.engine.FellSilent() {
			s.fallSilent("the lease is not confirmed, and all calls fell silent: this machine seems to be cut off")
			return
		}
	}
}

func lostTo(o *fleet.Owner) string {
	return fmt.Sprintf("the seat is node %s's since %s", o.Node, o.Since.UTC().Format(time.RFC3339))
}

// waitForLink stops the node's work while the link of an address is down, and then until the database confirms that
// this node still has the seat: otherwise queued messages would be sent when the link is up again. The error says why
// the node can't continue.
func (s *seat) waitForLink(ctx context.Context, down error) error {
	frozen, cancel := context.WithTimeout(ctx, linkPatience)
	defer cancel()
	if !s.standing.TryLock() { // an upgrade or a move holds the lock
		return nil
	}
	defer s.standing.Unlock()
	if err := s.server.Stack().Freeze(frozen, nil); err != nil {
		err = s.missing() // a connection that is being opened would still wait
		if err != nil {
			s.rtp.engine.Freeze()
		}
		s.dropQueued()
		return err
	}
	s.rtp.engine.Freeze()
	s.dropQueued()
	for down != nil {
		select {
		case <-s.changes:
		case <-time.After(settleEvery):
		}
		down = s.missing()
		if down != nil && (frozen.Err() != nil || !errors.Is(down, errLinkDown)) {
			return down
		}
	}
	confirmed, cancel := context.WithTimeout(ctx, confirmPatience)
	defer cancel()
	if o, lost := s.Confirm(confirmed); lost {
		if o.Holds() {
			s.takeOff(o.Node)
		}
		return errors.New(lostTo(&o)) //nolint:err113 // shown, not handled
	}
	s.rtp.engine.Thaw()
	s.server.Stack().Serve()
	s.log.Warn().Msg("link of the seat's address was down: this node continues")
	return nil
}

// dropQueued drops the packets that the kernel holds until it knows the link-layer address of their next hop, which it
// can't learn while the link is down. They would leave once the link is up again, when another node may have the seat.
// If this node goes on, it repeats its messages.
func (s *seat) dropQueued() {
	all, _ := netlink.AddrList(nil, netlink.FAMILY_ALL)
	for i := range all {
		if at, ok := netip.AddrFromSlice(all[i].IP); !ok || !slices.Contains(s.addresses, at.Unmap()) {
			continue
		}
		hops, _ := netlink.NeighList(all[i].LinkIndex, netlink.FAMILY_ALL)
		for j := range hops {
			if hops[j].State&netlink.NUD_INCOMPLETE != 0 {
				_ = netlink.NeighDel(&hops[j]) // fails without CAP_NET_ADMIN
			}
		}
	}
}

// takeOff removes the seat's addresses from this machine because another node has them now. Otherwise a query (ARP,
// ND) would find two owners.
func (s *seat) takeOff(other string) {
	all, err := netlink.AddrList(nil, netlink.FAMILY_ALL)
	for i := range all {
		for _, a := range s.addresses {
			if at, ok := netip.AddrFromSlice(all[i].IP); ok && at.Unmap() == a && !a.IsLoopback() {
				link, failed := netlink.LinkByIndex(all[i].LinkIndex)
				if failed == nil {
					failed = netlink.AddrDel(link, &all[i])
				}
				if err = errors.Join(err, failed); failed == nil {
					s.log.Warn().Stringer("address", a).Str("other", other).
						Msg("an address of the seat is taken off this machine: another node has the seat")
				}
			}
		}
	}
	s.stale = false // do it only once
	if err != nil {
		s.log.Error().Err(err).Msg("can't remove the seat's addresses: remove them by hand, or peers see two machines")
	}
}

// fallSilent stops all output of this process, which then restarts.
func (s *seat) fallSilent(why string) {
	s.silent.Do(func() {
		level := zerolog.ErrorLevel
		if s.leaving.Load() {
			level = zerolog.InfoLevel
		}
		s.log.WithLevel(level).Str("reason", why).Msg("this node stops serving and stands by")
		if s.rtp.kernel != nil {
			if err := s.rtp.kernel.Silence(); err != nil {
				s.log.Error().Err(err).Msg("can't stop the kernel's RTP relay")
			}
		}
		_ = os.Setenv(silenced, "1")
		s.options.beginAnew()
	})
}

// beginAnew restarts the program in this process.
func (o *operator) beginAnew() {
	o.out.lines.flush()
	o.mu.Lock()
	if o.draining { // the process was told to end
		os.Exit(0)
	}
	program, err := handover.ThisProgram()
	if err == nil {
		err = unix.Exec(program.Path, program.Args, os.Environ())
	}
	o.log.Error().Err(err).Msg("can't restart this program: exiting")
	o.out.lines.flush()
	os.Exit(1)
}
