package main

import (
	"fmt"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
	"flowbridge/scripts/internal/namespace"
	"flowbridge/scripts/internal/rtp"
	"flowbridge/scripts/internal/sip"
)

// What is said, in frames: the statement; by the agent silence from its 200 to its first word, its greeting, its first
// pause, and what follows.
const (
	told     = 250
	own      = 15
	greets   = 150
	pauses   = 50
	follows  = 150
	allWords = own + greets + pauses + follows
	outlasts = 100 // after that, before the caller hangs up
)

// patience bounds a call.
const patience = time.Minute

// isLoud reports whether the agent speaks in a frame.
func isLoud(frame int) bool {
	return frame >= own && frame < own+greets || frame >= own+greets+pauses && frame < allWords
}

// bench is the carrier and the agent. Its lock guards its calls.
type bench struct {
	carrier, agent sip.UDP
	ports          [2]*batch.Port // the carrier's, the agent's
	quit, ended    chan struct{}

	sync.Mutex
	calls map[string]*call            // by called number
	from  [2]map[netip.AddrPort]*call // by the relay's address, for the carrier and for the agent
	next  int
}

// call is one call. Times are in nanoseconds of the wall clock, 0 if not yet.
type call struct {
	number int
	after  time.Duration // from the agent's INVITE to its 200
	to     [2]netip.AddrPort
	sent   [2]int   // frames
	begun  [2]int64 // when the first one was due
	done   chan struct{}

	told   []int           // the frames of the statement that came
	begin  int64           // when its first one came; before it, Flowbridge sends silence of its own
	end    int64           // when the last one came
	others []int64         // when other packets came
	words  []int           // the agent's words that came
	first  int64           // when the first one came
	delays []time.Duration // of the words
	heard  int64           // when the agent heard the caller first
}

func newBench(in *namespace.Network) (b *bench, err error) {
	b = &bench{
		quit: make(chan struct{}), ended: make(chan struct{}), calls: map[string]*call{},
		from: [2]map[netip.AddrPort]*call{{}, {}},
	}
	relay := netip.AddrPortFrom(namespace.RelayAddr, 5060)
	for i, end := range []struct {
		*sip.UDP
		name string
		at   netip.Addr
		in   namespace.Namespace
	}{{&b.carrier, "carrier", namespace.CarrierAddr, in.Carrier}, {&b.agent, "agent", namespace.AgentAddr, in.Agent}} {
		if err = end.Listen(end.name, end.in, netip.AddrPortFrom(end.at, 5060), relay); err != nil {
			return nil, err
		}
		if b.ports[i], err = batch.Listen(end.in, netip.AddrPortFrom(end.at, 0), rtp.Room); err != nil {
			return nil, err
		}
	}
	b.carrier.Saw, b.agent.Arrive = b.saw, b.answer
	go b.carrier.Run()
	go b.agent.Run()
	go b.media()
	return b, nil
}

func (b *bench) close() {
	close(b.quit)
	<-b.ended
	b.carrier.Close()
	b.agent.Close()
}

// answer is the agent: it answers when it is the call's time.
func (b *bench) answer(_ *sip.Dialog, s *sip.Server) {
	_, to, _ := strings.Cut(s.Request.Start(), "sip:")
	to, _, _ = strings.Cut(to, "@")
	b.Lock()
	defer b.Unlock()
	c := b.calls[to]
	if c == nil {
		s.Refuse("404 Not Found")
		return
	}
	s.Respond("180 Ringing", sip.Empty)
	relay := sip.Media(s.Request.Body())
	b.agent.After(c.after, func() {
		s.Accept("Contact: <sip:" + b.agent.Addr.String() + ">\r\n" + sip.WithBody(sip.Description(b.ports[1].At)))
		b.Lock()
		defer b.Unlock()
		c.begins(1, relay, b.from[1])
	})
}

// saw sees the caller answered before the ACK is sent, because the statement begins with the ACK.
func (b *bench) saw(d *sip.Dialog, sent bool, m sip.Message) {
	c, ours := d.Of.(*call)
	if at := sip.Media(m.Body()); ours && !sent && m.Status() == 200 && at.IsValid() {
		b.Lock()
		defer b.Unlock()
		if c.begun[0] == 0 {
			c.begins(0, at, b.from[0])
		}
	}
}

// begins begins a side's RTP.
func (c *call) begins(side int, to netip.AddrPort, from map[netip.AddrPort]*call) {
	c.to[side], c.begun[side], from[to] = to, batch.Clock(unix.CLOCK_REALTIME), c
}

// place places a call, and returns it when it is over.
func (b *bench) place(prefix string, after time.Duration) (*call, error) {
	b.Lock()
	b.next++
	c := &call{number: b.next, after: after, done: make(chan struct{})}
	to := prefix + strconv.Itoa(1000000+c.number)
	b.calls[to] = c
	b.Unlock()
	answers, late := make(chan sip.Message, 1), time.After(patience)
	b.carrier.Lock()
	d := b.carrier.Dial("+15075550100", to)
	d.Of = c
	d.Ask("INVITE", sip.WithBody(sip.Description(b.ports[0].At)), func(m sip.Message) {
		answers <- sip.Message(strings.Clone(string(m)))
	})
	b.carrier.Unlock()
	if m := <-answers; m.Status() != 200 {
		return nil, fmt.Errorf("call %d got %q", c.number, m.Start())
	}
	select {
	case <-c.done:
	case <-late:
		return nil, fmt.Errorf("call %d: the agent does not answer", c.number)
	}
	bye := make(chan int, 1)
	b.carrier.Lock()
	d.Ask("BYE", sip.Empty, func(m sip.Message) { bye <- m.Status() })
	d.Finish()
	b.carrier.Unlock()
	if status := <-bye; status != 200 {
		return nil, fmt.Errorf("call %d: the BYE got %d", c.number, status)
	}
	return c, nil
}

// media sends and reads the RTP of all calls.
func (b *bench) media() {
	runtime.LockOSThread()
	defer close(b.ended)
	batch.Punctual()
	pace := rtp.NewPace(time.Millisecond)
	for n := int64(0); ; n++ {
		select {
		case <-b.quit:
			return
		default:
		}
		pace.Wait(n)
		b.Lock()
		for number, c := range b.calls {
			if b.send(c); c.sent[1] == allWords+outlasts {
				delete(b.calls, number)
				delete(b.from[0], c.to[0])
				delete(b.from[1], c.to[1])
				close(c.done)
			}
		}
		b.ports[0].Read(func(p []byte, from netip.AddrPort, came int64) { b.from[0][from].hears(p, came) })
		b.ports[1].Read(func(p []byte, from netip.AddrPort, came int64) {
			if _, _, word := read(p); word {
				b.from[1][from].overhears(came)
			}
		})
		b.Unlock()
	}
}

// send sends what is due. The caller speaks all the time.
func (b *bench) send(c *call) {
	for side, port := range b.ports {
		now := batch.Clock(unix.CLOCK_REALTIME)
		if c.begun[side] == 0 || now < c.begun[side]+int64(c.sent[side])*int64(rtp.Interval) {
			continue
		}
		p := port.Packet(0)[:frameSize]
		write(p, c.number, c.sent[side], now, side == 0 || isLoud(c.sent[side]))
		port.Put(0, p, c.to[side])
		port.Send(1)
		c.sent[side]++
	}
}

// hears notes a packet that the caller gets.
func (c *call) hears(p []byte, came int64) {
	if c == nil {
		return
	}
	if frame := toldIn(p); frame >= 0 {
		if frame == 0 {
			c.begin = came
		}
		c.told, c.end = append(c.told, frame), came
		return
	}
	c.others = append(c.others, came)
	if word, sent, ok := read(p); ok {
		if len(c.words) == 0 {
			c.first = came
		}
		c.words, c.delays = append(c.words, word), append(c.delays, time.Duration(came-sent))
	}
}

// overhears notes words of the caller that the agent gets.
func (c *call) overhears(came int64) {
	if c != nil && c.heard == 0 {
		c.heard = came
	}
}
