package calltest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/peers"
	"flowbridge/internal/coroutine"
	"flowbridge/internal/tracecontext"
	"flowbridge/media"
	"flowbridge/media/answerer"
	"flowbridge/media/voice/turns"
	"flowbridge/store/record"
)

// fakeRelay is a relay whose sessions transport no packets.
type fakeRelay struct {
	mu       sync.Mutex
	sessions []*fakeSession
	fail     error
	broken   bool          // sessions panic when they start or play a sound
	opens    func()        // as fakeSession.opens, of each session
	clocked  bool          // as fakeSession.clocked
	missed   int64         // as fakeSession.missed
	hold     chan struct{} // if not nil, opening the next session waits until hold is closed
}

type fakeSession struct {
	measured   sync.Mutex // guards stats where a test changes them during a call
	local      [2]netip.AddrPort
	peers      [2]media.Peer
	confirmed  [2]bool
	onEvent    func(media.Event)
	crypto     [2]media.Crypto
	ways, far  [2]*media.Datagrams // DTLS packets by side: ours, and the peer's
	exposed    bool                // a side with an address got plain RTP instead of SRTP
	forgot     [2]bool             // a side's keys were dropped after the session was opened or resumed
	events     [2]media.TelephoneEvents
	payloads   [2][]media.PayloadChange
	transcodes [2]media.Transcode
	digits     []string
	mu         sync.Mutex // guards plays, heard and transcodes, which tests read while a call runs
	plays      [2]media.Play
	heard      []string // sounds, as Play and StopPlay were called
	follows    media.Conversation
	sent       [2]media.Sent // the result of Playing
	held       [2]bool       // by side: its packets are held back
	began      [2]time.Time  // when the sound to a side began
	opens      func()        // called when the agent's packets begin to reach the caller; may be nil
	clocked    bool          // Playing tells how far the sound is by the clock, of which missed packets were not sent
	missed     int64
	lost       int64 // the result of Reported; -1 means none
	reports    uint64
	mute       bool   // no further report comes
	restarts   [2]int // by side: how often the media has begun its sound again
	talk       *turns.Figures
	interrupts []bool
	waited     atomic.Int64 // the result of DeadAir: how long the caller has waited for the agent
	masks      [2]media.Mask
	tap        media.Tap
	quiet      media.Quiet
	stats      media.Stats // added to the seven packets of side A that Stats always reports
	broken     bool
	relayed    atomic.Uint64 // further packets from side A, added to stats
	answered   atomic.Uint64 // packets from side B, added to stats

	started, closed atomic.Bool // atomic, because tests read them while the call may still run
	asked           atomic.Bool // DetectAnswer was called
	screened        bool        // the detection has found call screening
}

func (r *fakeRelay) Open(c media.SessionConfig) (bridge.RelaySession, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return nil, r.fail
	}
	if hold := r.hold; hold != nil {
		r.hold = nil
		r.mu.Unlock()
		<-hold
		r.mu.Lock()
	}
	port := uint16(10000 + 4*len(r.sessions))
	s := &fakeSession{onEvent: c.OnEvent, broken: r.broken, opens: r.opens, clocked: r.clocked, missed: r.missed}
	s.local = [2]netip.AddrPort{netip.AddrPortFrom(c.Addr[0], port), netip.AddrPortFrom(c.Addr[1], port+2)}
	r.sessions = append(r.sessions, s)
	return s, nil
}

// Resume continues a killed server's session on the same ports.
func (r *fakeRelay) Resume(c media.SessionConfig, st media.SessionState) (bridge.RelaySession, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return nil, r.fail
	}
	i := slices.IndexFunc(r.sessions, func(s *fakeSession) bool { return s.local[0] == st.Sides[0].Local })
	old := r.sessions[i]
	s := &fakeSession{
		onEvent: c.OnEvent, local: old.local, peers: old.peers, confirmed: old.confirmed, crypto: old.crypto, events: old.events,
		payloads: old.payloads, transcodes: old.transcodes, masks: old.masks, stats: old.stats, held: old.held, lost: old.lost,
		opens: old.opens, clocked: old.clocked, missed: old.missed,
	}
	s.started.Store(old.started.Load())
	old.closed.Store(true)
	r.sessions[i] = s
	return s, nil
}

func (r *fakeRelay) open() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.sessions {
		if !s.closed.Load() {
			n++
		}
	}
	return n
}

func (s *fakeSession) Local(side media.Side) netip.AddrPort  { return s.local[side] }
func (s *fakeSession) SetPeer(side media.Side, p media.Peer) { s.peers[side] = p; s.open() }

// open tells the test that the agent's packets reach the caller.
func (s *fakeSession) open() {
	if s.opens != nil && s.peers[media.SideB].RTP.IsValid() && !s.held[media.SideB] {
		s.opens()
	}
}
func (s *fakeSession) Confirm(side media.Side) { s.confirmed[side] = true }

func (s *fakeSession) SetCrypto(side media.Side, c media.Crypto) error {
	if s.crypto[side].Send != nil && c.Send == nil && s.peers[side].RTP.IsValid() {
		s.exposed = true
	}
	if s.crypto[side] = c; c == (media.Crypto{}) {
		s.forgot[side] = true
		s.mu.Lock()
		s.ways[side].Close()
		s.mu.Unlock()
	}
	return nil
}

// Datagrams returns the session's end of a pipe to the peer's DTLS. If no peer was set up,
// the packets go nowhere.
func (s *fakeSession) Datagrams(side media.Side) *media.Datagrams {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ways[side].Close()
	s.ways[side] = media.NewDatagrams(func(pkt []byte) {
		s.mu.Lock()
		far := s.far[side]
		s.mu.Unlock()
		if far != nil {
			far.Deliver(pkt)
		}
	})
	return s.ways[side]
}

func (s *fakeSession) SetTelephoneEvents(side media.Side, c media.TelephoneEvents) {
	s.events[side] = c
}

func (s *fakeSession) SetPayloads(from media.Side, changes []media.PayloadChange) {
	s.payloads[from] = changes
}

func (s *fakeSession) Play(to media.Side, p media.Play) {
	if s.broken {
		panic("the media is broken")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plays[to], s.began[to], s.restarts[to] = p, time.Now(), 0
	s.heard = append(s.heard, fmt.Sprintf("%v hears %v of law %d as %d, loop %v, yield %v", to, p.Sound.Duration(), p.Law, p.PayloadType, p.Loop, p.Yield))
}

func (s *fakeSession) StopPlay(to media.Side) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.heard = append(s.heard, to.String()+" hears nothing")
	s.began[to] = time.Time{}
}

func (s *fakeSession) Playing(to media.Side) (id uint64, _ media.Sent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, at := s.plays[to], time.Since(s.began[to]).Truncate(20*time.Millisecond)
	if !s.clocked || p.Sound == nil || s.began[to].IsZero() || p.From+at > p.Sound.Duration() {
		return p.ID, s.sent[to]
	}
	return p.ID, media.Sent{
		At: p.From + at, Packets: int64(at/(20*time.Millisecond)) - s.missed, Missed: s.missed,
		First: s.began[to], Last: s.began[to].Add(at), Restarts: s.restarts[to],
	}
}

// moves lets the media find a side at another address, where the sound that has to be heard whole begins again.
func (s *fakeSession) moves(to media.Side) {
	s.onEvent(s.beginsAgain(to))
	synctest.Wait()
}

// beginsAgain is moves before the call knows of it. It returns what the call will get.
func (s *fakeSession) beginsAgain(to media.Side) media.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plays[to].From, s.began[to] = 0, time.Now()
	s.restarts[to]++
	return media.EventRestarted{Side: to, ID: s.plays[to].ID}
}

func (s *fakeSession) HoldBack(from media.Side, on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held[from] = on
	s.open()
}

// Reported returns one report more with each call, unless the side is mute.
func (s *fakeSession) Reported(media.Side) (lost int64, reports uint64) {
	if s.lost < 0 {
		return 0, 0
	}
	if !s.mute {
		s.reports++
	}
	return s.lost, s.reports
}

func (s *fakeSession) SetTranscode(side media.Side, t media.Transcode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.transcodes[side] = t
	return nil
}

func (s *fakeSession) SetTap(t media.Tap) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tap = t
}

// tapped returns the current tap.
func (s *fakeSession) tapped() media.Tap {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tap
}

// made returns the current transcoding of each side.
func (s *fakeSession) made() [2]media.Transcode {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.transcodes
}

func (s *fakeSession) SetMask(side media.Side, m media.Mask)    { s.masks[side] = m }
func (s *fakeSession) Follow(c media.Conversation) error        { s.follows = c; return nil }
func (s *fakeSession) DetectAnswer(media.Side, answerer.Limits) { s.asked.Store(true) }
func (s *fakeSession) Interrupt(on bool)                        { s.interrupts = append(s.interrupts, on) }
func (s *fakeSession) Talk() *turns.Figures                     { return s.talk }
func (s *fakeSession) DeadAir() time.Duration                   { return time.Duration(s.waited.Load()) }
func (s *fakeSession) Speaking() [2]bool                        { return [2]bool{} }

func (s *fakeSession) SendDigit(side media.Side, d media.Digit) error {
	s.digits = append(s.digits, fmt.Sprintf("%v %c %v as %d/%d", side, d.Digit, d.Duration, d.PayloadType, d.ClockRate))
	return nil
}

func (s *fakeSession) Start() {
	if s.broken {
		panic("the media is broken")
	}
	s.started.Store(true)
}

// measures changes the figures during a call. Other goroutines may read them at any time.
func (s *fakeSession) measures(change func(*media.Stats)) {
	s.measured.Lock()
	defer s.measured.Unlock()
	change(&s.stats)
}

func (s *fakeSession) Stats() media.Stats {
	s.measured.Lock()
	defer s.measured.Unlock()
	stats := s.stats
	stats.A.RxPackets += 7 + s.relayed.Load()
	stats.B.RxPackets += s.answered.Load()
	return stats
}

func (s *fakeSession) Quiet() media.Quiet { return s.quiet }

func (s *fakeSession) State() (st media.SessionState) {
	for side, at := range s.local {
		st.Sides[side].Local = at
	}
	return st
}

func (s *fakeSession) HandOver() (media.SessionState, media.Sockets) {
	return s.State(), media.Sockets{{-1, -1}, {-1, -1}}
}

func (s *fakeSession) Close() media.Stats {
	s.closed.Store(true)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ways[media.SideA].Close()
	s.ways[media.SideB].Close()
	return s.Stats()
}

type fakeSink struct {
	mu      sync.Mutex
	journal []record.Record
	done    []record.Record
	hold    chan struct{} // if not nil, Put waits until hold is closed
	stay    chan struct{} // if not nil, the next Journal waits until stay is closed

	states map[string]record.Saved // states of calls that have no record yet, by id
	owed   map[string][]byte
}

func (s *fakeSink) Journal(r record.Record, state []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if stay := s.stay; stay != nil {
		s.stay = nil
		s.mu.Unlock()
		<-stay
		s.mu.Lock()
	}
	s.journal = append(s.journal, r)
	if s.states == nil {
		s.states = map[string]record.Saved{}
	}
	closed := r
	closed.Recordings = slices.Clone(r.Recordings)
	s.states[r.ID] = record.Saved{Record: r, Interrupted: closed.Interrupted(time.Now()), State: slices.Clone(state)}
}

func (s *fakeSink) Owe(id string, state []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.owed == nil {
		s.owed = map[string][]byte{}
	}
	if s.owed[id] = slices.Clone(state); state == nil {
		delete(s.owed, id)
	}
}

// left returns the calls that a killed process leaves for the next one to restore.
func (s *fakeSink) left() (all []record.Saved) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(s.states)) {
		all = append(all, s.states[id])
	}
	for _, id := range slices.Sorted(maps.Keys(s.owed)) {
		all = append(all, record.Saved{Record: record.Record{ID: id}, State: s.owed[id], Owed: true})
	}
	return all
}

func (s *fakeSink) Keep(ctx context.Context, r *record.Record, owes []byte, done func(error)) {
	if owes != nil {
		s.Owe(r.ID, owes)
	}
	if s.hold == nil {
		done(s.Put(ctx, *r))
		return
	}
	go func() { done(s.Put(ctx, *r)) }()
}

func (s *fakeSink) Put(_ context.Context, r record.Record) error {
	if s.hold != nil {
		<-s.hold
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, r)
	delete(s.states, r.ID)
	return nil
}

type fakePreparer struct {
	mu    sync.Mutex
	asked []peers.PrepareRequest
	trace []string // the traceparent header of each request
	after time.Duration
	err   error
	given *peers.Prepared // the answer to all requests; nil means a new id for each
}

// errPanics makes a fakePreparer panic.
var errPanics = errors.New("preparing panics")

func (p *fakePreparer) Prepare(ctx context.Context, r peers.PrepareRequest) (peers.Prepared, error) {
	p.mu.Lock()
	p.asked, p.trace = append(p.asked, r), append(p.trace, tracecontext.From(ctx))
	after, err, n := p.after, p.err, len(p.asked)
	p.mu.Unlock()
	coroutine.Leave(ctx)
	select {
	case <-time.After(after):
	case <-ctx.Done():
		return peers.Prepared{}, ctx.Err()
	}
	if errors.Is(err, errPanics) {
		panic(err)
	}
	if err != nil {
		return peers.Prepared{}, err
	}
	if p.given != nil {
		return *p.given, nil
	}
	return peers.Prepared{CallID: fmt.Sprintf("id-%d", n), Body: []byte(`{"synthflow_call_id":"x"}`), Status: 200}, nil
}

// testLog returns the log of servers under test.
func testLog(t *testing.T) zerolog.Logger {
	t.Helper()
	if testing.Verbose() {
		return zerolog.New(zerolog.NewTestWriter(t))
	}
	return zerolog.Nop()
}
