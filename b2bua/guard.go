package b2bua

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"
)

// Socket is what the B2BUA needs of a UDP socket; *net.UDPConn is one.
type Socket interface {
	net.PacketConn
	ReadFromUDPAddrPort(b []byte) (int, netip.AddrPort, error)
	WriteToUDPAddrPort(b []byte, addr netip.AddrPort) (int, error)
}

// maxDatagram bounds a SIP message over UDP, in bytes.
const maxDatagram = 16 << 10

// Rejections counts what the guard kept from the SIP stack, by reason.
type Rejections struct {
	UnknownSource atomic.Uint64 // neither a trunk nor an answer to something of ours
	TooLarge      atomic.Uint64
	NotSIP        atomic.Uint64
	Full          atomic.Uint64 // 503: trunk or process over its caps, or draining
}

// guard is the socket as the SIP stack sees it. It stands before the parser:
// strangers are not heard, a trunk over its caps gets 503 without anything
// being allocated, and every message that passes can be tapped.
type guard struct {
	Socket
	local netip.AddrPort
	mint  *Minter
	gate  gate
	tap   Tap
	count *Rejections
	log   zerolog.Logger

	// owned by the reader
	out []byte        // the refusal being written
	may *rate.Limiter // lines of log that a peer can provoke
	renewal
}

// renewal has the library begin anew with a listener that has heard from many
// addresses, because it keeps each for as long as it listens. That is done in a
// quiet moment, when no message is on its way through it, and while no request
// can be sent. The reader owns it.
type renewal struct {
	swap    *sync.RWMutex // held for reading while a request is sent
	crowded func() bool
	reads   int
	due     bool
	begun   bool
}

// How often it is looked how many addresses there are, and how quiet a moment
// has to be.
const (
	renewalEvery = 64 // reads
	renewalQuiet = 5 * time.Millisecond
)

// done is called when the library listens again.
func (r *renewal) done() {
	if r.begun {
		r.begun = false
		r.swap.Unlock()
	}
}

// begin takes the listener from the library.
func (r *renewal) begin() {
	r.swap.Lock()
	r.due, r.begun = false, true
}

// deadline is by when the next read has to be over.
func (r *renewal) deadline() time.Time {
	if r.reads++; r.reads%renewalEvery == 0 {
		r.due = r.crowded()
	}
	if !r.due {
		return time.Time{}
	}
	return time.Now().Add(renewalQuiet)
}

// readPause is how long a read that failed is not tried again.
const readPause = 10 * time.Millisecond

// newRejectionLog allows a few lines at once and then one a second.
func newRejectionLog() *rate.Limiter { return rate.NewLimiter(1, 5) }

// gate says who may come in.
type gate interface {
	// knows says whether addr belongs to a trunk.
	knows(addr netip.Addr) bool
	// full says whether a new call from addr has to be refused now.
	full(addr netip.Addr) bool
	// inProgress says whether the INVITE that gets this To tag is known.
	inProgress(toTag string) bool
}

// ReadFrom gives the next datagram that may be parsed.
func (g *guard) ReadFrom(b []byte) (int, net.Addr, error) {
	// The library starts a goroutine for each message. Letting it run before
	// the next one is read keeps a burst in order: CANCEL after its INVITE.
	runtime.Gosched()
	g.done()
	for {
		if wasDue, by := g.due, g.deadline(); wasDue || g.due {
			_ = g.SetReadDeadline(by)
		}
		n, from, err := g.ReadFromUDPAddrPort(b)
		if errors.Is(err, net.ErrClosed) {
			return n, nil, err
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			_ = g.SetReadDeadline(time.Time{})
			g.begin()
			return 0, nil, net.ErrClosed
		}
		if err != nil { // of the datagram or the moment: the library would stop listening
			if g.may.Allow() {
				g.log.Error().Err(err).Msg("sip not received")
			}
			time.Sleep(readPause)
			continue
		}
		from = netip.AddrPortFrom(from.Addr().Unmap(), from.Port())
		if !g.admit(b[:n], from) {
			continue
		}
		if g.tap != nil {
			g.tap.Message(TapMessage{At: time.Now(), Received: true, Local: g.local, Remote: from, Data: b[:n]})
		}
		return n, net.UDPAddrFromAddrPort(from), nil
	}
}

// admit decides about one datagram.
func (g *guard) admit(datagram []byte, from netip.AddrPort) bool {
	if len(datagram) <= 4 { // keep-alive (RFC 5626 section 4.4.1)
		return false
	}
	msg, ok := scan(datagram)
	if !ok {
		g.count.NotSIP.Add(1)
		return false
	}
	if !g.gate.knows(from.Addr()) && !g.ours(msg) {
		if n := g.count.UnknownSource.Add(1); g.may.Allow() {
			g.log.Warn().Stringer("src", from).Str("reason", "unknown_source").Uint64("count", n).Msg("sip rejected")
		}
		return false
	}
	if string(msg.version) != "SIP/2.0" { // RFC 3261 section 21.5.6
		g.count.NotSIP.Add(1)
		g.refuse(datagram, msg, from, "505 Version Not Supported")
		return false
	}
	if len(datagram) > maxDatagram {
		g.count.TooLarge.Add(1)
		g.refuse(datagram, msg, from, "513 Message Too Large")
		return false
	}
	if !msg.response && string(msg.method) == "INVITE" && msg.toTag == nil && g.gate.full(from.Addr()) &&
		!g.gate.inProgress(g.tagFor(msg)) {
		if n := g.count.Full.Add(1); g.may.Allow() {
			g.log.Warn().Stringer("src", from).Str("reason", "full").Uint64("count", n).Msg("sip rejected")
		}
		g.refuse(datagram, msg, from, "503 Service Unavailable", "Retry-After: 5")
		return false
	}
	return true
}

// ours says that a message belongs to something that we began: a response
// with our branch, or a request within a dialog that has our tag, whatever
// address it comes from.
func (g *guard) ours(msg scanned) bool {
	if msg.response {
		return g.mint.MintedBranch(msg.branch)
	}
	return g.mint.MintedTag(msg.toTag)
}

func (g *guard) tagFor(msg scanned) string {
	return g.mint.TagFor(string(msg.callID), string(msg.fromTag), string(msg.cseq))
}

// refuse answers a request statelessly; what has no Via, or is an ACK, gets
// no answer.
func (g *guard) refuse(datagram []byte, msg scanned, to netip.AddrPort, status string, headers ...string) {
	if msg.response || msg.vias == 0 || string(msg.method) == "ACK" {
		return
	}
	g.out = statelessRefusal(g.out[:0], datagram, status, g.tagFor(msg), headers...)
	_, _ = g.WriteTo(g.out, net.UDPAddrFromAddrPort(to))
}

// WriteTo sends a message. A response or ACK that the system does not take
// counts as lost on the way: it is sent again when its request or 200 is, where
// an error would end its transaction. So does any message for which there is no
// room at the moment.
func (g *guard) WriteTo(b []byte, addr net.Addr) (int, error) {
	ua, ok := addr.(*net.UDPAddr)
	if !ok {
		return 0, net.InvalidAddrError("not a UDP address")
	}
	to := ua.AddrPort()
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	if g.tap != nil {
		g.tap.Message(TapMessage{At: time.Now(), Local: g.local, Remote: to, Data: b})
	}
	n, err := g.WriteToUDPAddrPort(b, to)
	if err != nil && (noRoom(err) || bytes.HasPrefix(b, []byte("SIP/")) || bytes.HasPrefix(b, []byte("ACK "))) {
		g.log.Debug().Err(err).Stringer("to", to).Msg("sip not sent")
		return len(b), nil
	}
	return n, err
}
