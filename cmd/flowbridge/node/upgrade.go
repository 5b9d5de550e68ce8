package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"

	"flowbridge/admin"
	"flowbridge/b2bua"
	"flowbridge/b2bua/snapshot"
	"flowbridge/b2bua/transport"
	"flowbridge/internal/handover"
	"flowbridge/media"
	"flowbridge/store"
	"flowbridge/store/record"
)

// The timing of the old process's side of an upgrade. Package internal/handover describes the whole.
const (
	// upgradePatience is how long a new process may take to take over while calls stand still. Before that, it may take
	// loadPatience times as long to load: on a busy machine, loading the kernel's programs takes seconds.
	upgradePatience = 10 * time.Second
	loadPatience    = 3
	// settlePatience bounds waiting for calls that are being changed. setupPatience bounds waiting for calls that are
	// being set up, while new calls wait. settleEvery is how often they are checked.
	settlePatience = 2 * time.Second
	setupPatience  = 500 * time.Millisecond
	settleEvery    = 5 * time.Millisecond
	// storePatience is how long the store may take to write its data: once before anything stands still, and once while
	// everything does.
	storePatience = 2 * time.Second
	// requestPatience bounds waiting for HTTP requests under way.
	requestPatience = time.Second
)

// Reasons why an upgrade is refused.
var (
	errUpgrading = errors.New("an upgrade is under way")
	errFirst     = errors.New("this is the first process of its container or machine, or the one for whose end the first waits: with it, all others would end; drain instead, and start the new version")
	errTooLate   = errors.New("the new process was not ready in time")
)

// handedPart is the content of a hand-over frame: a name, with data or a file or both.
type handedPart struct {
	Name string `cbor:"1,keyasint"`
	Data []byte `cbor:"2,keyasint,omitempty"`
}

// The names of parts. Package transport defines the names of the SIP sockets.
const (
	partKernel  = "kernel"
	partLock    = "store.lock"
	partAdmin   = "admin"
	partArchive = "recordings"
	partHook    = "hook " // followed by the hook's address

	partState  = "sip.state"
	partStream = "sip.stream"
	partCall   = "call"
)

// loaded is the new process's message after it has read its configuration.
type loaded struct {
	Version string `cbor:"1,keyasint"`
	Format  int    `cbor:"2,keyasint,omitempty"` // format of the calls' states
}

// begins is the old process's first message.
type begins struct {
	Format int `cbor:"1,keyasint,omitempty"` // format of the calls' states
}

// errFormat means that the two processes can't read each other's calls.
var errFormat = errors.New("the two versions write calls in different forms, so none can go over: drain, and start the new version")

// endsAll reports whether the end of a process would end all others. That is so if it is the first process, or if its
// parent at its start was a container's init, which exits when its child does, even if other processes remain.
func endsAll(pid, parent int, first string) bool {
	reapers := []string{"docker-init", "podman-init", "tini", "tini-static", "dumb-init", "catatonit"}
	return pid == 1 || parent == 1 && slices.Contains(reapers, strings.TrimSpace(first))
}

// Upgrade replaces this process by a new one that continues its calls.
func (o *operator) Upgrade(ctx context.Context) (admin.Upgraded, error) {
	done, err := o.upgrade(context.WithoutCancel(ctx))
	if err != nil {
		o.log.Error().Err(err).Msg("not upgraded: this process continues")
		return done, err
	}
	o.log.Info().Int("pid", done.PID).Str("version", done.Version).Int("calls", done.Calls).
		Int("connections", done.Connections).
		Int("sockets", done.Sockets).Int64("pause_ms", done.PauseMS).Int64("took_ms", done.TookMS).
		Msg("upgraded: the new process goes on")
	return done, nil
}

func (o *operator) upgrade(ctx context.Context) (done admin.Upgraded, err error) {
	begun := time.Now()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	late := time.AfterFunc(loadPatience*o.patience, func() { cancel(errTooLate) })
	defer late.Stop()
	first, _ := os.ReadFile("/proc/1/comm") // if it can't be read, first stays empty
	if endsAll(os.Getpid(), o.parent, string(first)) {
		return done, errFirst
	}
	if !o.reloads.TryLock() { // the lock also keeps the configuration from being read
		return done, errUpgrading
	}
	defer o.reloads.Unlock()
	if _, err := o.beginReload(); err != nil {
		return done, err
	}
	var p *handover.Process
	defer func() { o.endUpgrade(p, err) }()
	if err := o.node.written(ctx); err != nil {
		return done, err
	}
	if p, err = handover.Start(o.program); err != nil {
		return done, fmt.Errorf("the new process: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { p.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if done, err = o.node.handOver(ctx, p, func() { late.Reset(o.patience) }, o.giveUp); err != nil {
		return admin.Upgraded{}, err
	}
	done.PID, done.TookMS = p.PID, time.Since(begun).Milliseconds()
	return done, nil
}

// written waits until the store has written everything, because the new process would not get the rest.
func (n *Node) written(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	if err := n.store.Flush(ctx); err != nil {
		return fmt.Errorf("records wait in memory, where the new process would not have them: %w; try again when /readyz says 200", err)
	}
	return nil
}

// ended ends a new process that can't take over, and returns an error that says why.
func ended(ctx context.Context, p *handover.Process, err error) error {
	// The new process ended before it could be told. It may have said why.
	if errors.Is(err, unix.EPIPE) || errors.Is(err, unix.ECONNRESET) {
		for err = nil; err == nil; { // the new process may report that it is ready, and then refuse
			_, err = p.Expect(handover.Loaded)
		}
	}
	if errors.Is(err, io.EOF) {
		select {
		case was := <-p.Ended:
			_ = p.Close()
			return fmt.Errorf("the new process has ended: %w; its output says why", was)
		case <-ctx.Done():
		}
	}
	p.Kill()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return fmt.Errorf("the new process: %w", err)
}

// giveUp is called before the last step, after which this process can't be drained. A process that was told to drain
// does not hand over.
func (o *operator) giveUp() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.draining {
		return errDraining
	}
	o.replaced = true
	return nil
}

// endUpgrade ends an upgrade: Serve returns or, after an error, this process continues.
func (o *operator) endUpgrade(p *handover.Process, err error) {
	if err == nil {
		o.heir = p
		close(o.left)
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.replaced = false; !o.draining {
		o.supervisor.ready("Taking calls; the last upgrade failed, see the log")
	}
}

// handOver sends everything that this process has to a new process. still is called before this process stands still,
// and last is called before the last step. After an error this process continues, and the new one has ended, because it
// would write files that this process needs.
func (n *Node) handOver(ctx context.Context, p *handover.Process, still func(), last func() error) (
	done admin.Upgraded, err error,
) {
	n.standing.Lock()
	defer n.standing.Unlock()
	h := &handing{node: n, to: p, done: &done, standstill: standstill{
		server: n.server, engine: n.rtp.engine, store: n.store, media: n.rtp.engine.Freeze, setups: setupPatience,
	}}
	defer func() {
		if err != nil {
			err = ended(ctx, p, err)
			h.thaw()
		}
	}()
	if err := h.prepare(); err != nil {
		return done, err
	}
	f, err := p.Expect(handover.Loaded)
	if err != nil {
		return done, err
	}
	var is loaded
	if err := f.Decode(&is); err != nil {
		return done, err
	}
	if is.Format != snapshot.Format {
		return done, errFormat
	}
	done.Version = is.Version
	still()
	if err := h.freeze(ctx); err != nil {
		return done, err
	}
	if err := h.give(); err != nil {
		return done, err
	}
	if _, err := p.Expect(handover.Ready); err != nil {
		return done, err
	}
	if err := last(); err != nil {
		return done, err
	}
	if err := p.Send(handover.Go, nil); err != nil {
		return done, err
	}
	done.PauseMS = time.Since(h.frozen).Milliseconds()
	return done, nil
}

// standstill stops all calls for a hand-over.
type standstill struct {
	server *b2bua.Server
	engine *media.Engine
	store  *store.Store
	media  func()        // freezes RTP; nil to let it flow
	setups time.Duration // how long to wait for calls that are being set up
	leaves bool          // the calls go to another machine, which writes what this disk does not take
	frozen time.Time     // when the standstill began
	thaws  []func()      // undo functions, called in reverse
}

// handing is a hand-over in progress.
type handing struct {
	standstill

	node *Node
	to   *handover.Process
	done *admin.Upgraded
	lock *os.File // the store's lock
}

// prepare sends the new process the parts that it needs while this one still serves.
func (h *handing) prepare() error {
	err := h.to.Send(handover.Begin, begins{Format: snapshot.Format})
	if k := h.node.rtp.kernel; err == nil && k != nil && k.Directory() != nil {
		err = h.giveFile(partKernel, k.Directory())
	}
	if err != nil {
		return err
	}
	return h.to.Send(handover.End, nil)
}

// freeze stops the node's work.
func (h *handing) freeze(ctx context.Context) error {
	n := h.node
	h.thaws = append(h.thaws, n.pause.Go, n.bots.mute())
	undo := func(f func()) { h.thaws = append(h.thaws, f) }
	n.browsers.freeze()
	requests, cancel := context.WithTimeout(ctx, requestPatience)
	defer cancel()
	if err := n.pause.Stop(requests); err != nil {
		n.log.Info().Err(err).Msg("the upgrade cuts off requests of the admin API or hooks")
	}
	n.tending.Lock() // taken while calls continue, because a slow disk may hold it
	undo(n.tending.Unlock)
	undo(n.server.Thaw)
	undo(n.rtp.engine.Thaw)
	if err := h.still(ctx); err != nil {
		return err
	}
	n.webhooks.Set(nil)
	undo(func() { n.webhooks.Set(hooksOf(n.config())) })
	paused, cancel := context.WithTimeout(ctx, storePatience)
	defer cancel()
	lock, resume, err := n.store.Pause(paused)
	if err != nil {
		return err
	}
	undo(resume)
	h.lock = lock
	return nil
}

// still stops the server at a moment when every call can be handed over. Until then, new calls wait briefly.
func (s *standstill) still(ctx context.Context) error {
	s.server.Stack().Hold()
	begun := time.Now()
	settled, cancel := context.WithTimeout(ctx, max(settlePatience, s.setups+time.Second))
	defer cancel()
	tick := time.NewTicker(settleEvery)
	defer tick.Stop()
	for {
		if err := s.store.Err(); err != nil && !s.leaves {
			return fmt.Errorf("%d records are not written: %w", s.server.Unwritten(), err)
		}
		why := s.server.Settled(settled, time.Since(begun) > s.setups)
		if why == nil {
			s.frozen = time.Now()
			if why = s.server.Freeze(settled, s.media); why == nil {
				return nil
			}
			s.engine.Thaw()
			s.server.Stack().Hold()
		}
		select {
		case <-tick.C:
		case <-settled.Done():
			if k := s.server.Unwritten(); k > 0 {
				why = fmt.Errorf("%d records are not written: %w", k, errors.Join(s.store.Err(), why))
			}
			return why
		}
	}
}

// thaw lets the node continue.
func (s *standstill) thaw() {
	for i := range s.thaws {
		s.thaws[len(s.thaws)-1-i]()
	}
}

// give sends the new process everything else that it needs.
func (h *handing) give() error {
	n := h.node
	if err := h.to.Send(handover.Begin, begins{Format: snapshot.Format}); err != nil {
		return err
	}
	sockets, err := n.server.Stack().Sockets()
	if err != nil {
		return err
	}
	h.done.Sockets = len(sockets)
	for _, s := range sockets {
		if err == nil {
			err = h.to.Send(handover.Part, handedPart{Name: s.Name}, s.FD)
		}
		transport.Discard(s.FD)
	}
	if err != nil {
		return err
	}
	files := map[string]any{partLock: h.lock, partAdmin: n.api.listener}
	n.browsers.give(files)
	if n.archive != nil && n.archive.Lock() != nil {
		files[partArchive] = n.archive.Lock()
	}
	if n.hookServer != nil {
		at, l := n.hookServer.Listener()
		files[partHook+at.String()] = l
	}
	for name, of := range files {
		if err := h.giveFile(name, of); err != nil {
			return err
		}
	}
	invites, err := n.server.HandOver(h.giveCall)
	if err != nil {
		return err
	}
	if err := h.giveSIP(invites); err != nil {
		return err
	}
	return h.to.Send(handover.End, nil)
}

// giveSIP sends the state of the SIP stack apart from its sockets, starting with the INVITEs of calls that are
// restarted.
func (h *handing) giveSIP(invites []transport.HeldState) error {
	stack := h.node.server.Stack()
	st := stack.State()
	st.Held = append(invites, st.Held...)
	for len(st.Answered)+len(st.Held) > 0 { // split into frames of an accepted size
		var some transport.State
		some.Answered, st.Answered = cut(st.Answered)
		some.Held, st.Held = cut(st.Held)
		if err := h.giveData(partState, some); err != nil {
			return err
		}
	}
	return stack.Streams(func(st transport.StreamState, fd int) error {
		defer transport.Discard(fd)
		h.done.Connections++
		return h.giveData(partStream, st, fd)
	})
}

// handedCall is a call in a part.
type handedCall struct {
	State   []byte     `cbor:"1,keyasint"`
	Record  []byte     `cbor:"2,keyasint"` // JSON
	Owed    bool       `cbor:"3,keyasint,omitempty"`
	Media   bool       `cbor:"4,keyasint,omitempty"`
	Sockets [2][2]bool `cbor:"5,keyasint,omitempty"` // which sockets follow the part as files, in this order
}

func (h *handing) giveCall(c record.Saved, sockets *media.Sockets) error {
	text, err := json.Marshal(c.Record)
	if err != nil {
		return err
	}
	given := handedCall{State: c.State, Record: text, Owed: c.Owed, Media: sockets != nil}
	var files []int
	if sockets != nil {
		for side, pair := range sockets {
			for kind, fd := range pair {
				if fd >= 0 {
					given.Sockets[side][kind] = true
					files = append(files, fd)
				}
			}
		}
	}
	if !c.Owed {
		h.done.Calls++
	}
	h.done.Sockets += len(files)
	return h.giveData(partCall, given, files...)
}

// perFrame bounds the messages of a frame.
const perFrame = 64

func cut[T any](all []T) (first, rest []T) {
	n := min(len(all), perFrame)
	return all[:n], all[n:]
}

func (h *handing) giveData(name string, v any, files ...int) error {
	data, err := cbor.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return h.to.Send(handover.Part, handedPart{Name: name, Data: data}, files...)
}

func (h *handing) giveFile(name string, of any) error {
	fd, err := transport.CopyOf(of)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer transport.Discard(fd)
	return h.to.Send(handover.Part, handedPart{Name: name}, fd)
}

// leave waits for the admin API's answers under way after the hand-over. It closes only the gateways' sockets:
// bots must not see two sockets of a call for longer than needed, and the new process answers for browsers.
func (n *Node) leave() {
	_ = errors.Join(n.bots.close(), n.browsers.close())
	n.rtp.engine.Leave()
	if n.rtp.kernel != nil {
		n.rtp.kernel.Leave()
	}
	n.pause.Leave()
	n.api.leave()
}
