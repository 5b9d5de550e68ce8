package registration

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/leg"
	"flowbridge/b2bua/locate"
	"flowbridge/b2bua/message"
	"flowbridge/config"
)

// State is the state of a registration.
type State string

// The states of a registration.
const (
	Registering State = "registering" // no registrar has answered yet
	Registered  State = "registered"  // we have a binding
	Unavailable State = "failed"      // we have no binding, and the next try is due later
	Left        State = "left"        // the binding is removed, or the registrar did not answer the removal
)

// Status is the status of a registration.
type Status struct {
	State     State
	Registrar string    // the registrar in use, or the one tried last
	Contact   string    // our URI at the registrar
	Since     time.Time // when State was entered
	Until     time.Time // end of the binding; zero if there is none
	Next      time.Time // time of the next REGISTER; zero while one waits for its answer
	Failures  int       // how many rounds over all registrars have failed in a row
	Code      int       // status of the last refusal; 0 if the last try was not refused or not answered
	Reason    string    // why the last try failed; empty if it succeeded
}

// Options holds the constants of a registration.
type Options struct {
	Config    *config.Register
	Transport string // config.Transport…
	Token     string // the user of its Contact
	Minter    *message.Minter
	Random    func() float64 // returns a random number from 0 to below 1
}

const (
	// patience is how long we wait for a registrar's answer: half of Timer F (RFC 3261 section 17.1.2.2), so that there
	// is time to try the next registrar.
	patience = 32 * leg.T1
	// impatience replaces patience for an address that is not the registrar's last one. It allows three retransmissions
	// over UDP.
	impatience = 8 * leg.T1
	// maxAddresses bounds the addresses of a registrar that are tried in a round.
	maxAddresses = 8
	// reachable is the time limit for looking up a host and connecting to it.
	reachable = 10 * time.Second
	// baseTime and maxTime are the bounds of the wait after failures (RFC 5626 section 4.5).
	baseTime = 30 * time.Second
	maxTime  = 30 * time.Minute
	// leastRenewal is the shortest time between two renewals, so that we don't flood a registrar that grants very short
	// registrations.
	leastRenewal = 2 * time.Second
	// mostExpires is the longest registration that we ask for or believe.
	mostExpires = 24 * time.Hour
	// maxChallenged bounds the answered challenges to one REGISTER: one of a proxy, one of the registrar, and one for a
	// stale nonce.
	maxChallenged = 3
	// maxIntervals bounds how often we ask for a longer time after a registrar has refused the time as too short.
	maxIntervals = 2
)

// Machine is the state machine of one registration. It belongs to one goroutine. It never reads the clock.
type Machine struct {
	o      Options
	tag    string   // tag of the From header
	callID []string // one for each registrar (RFC 3261 section 10.2.4)
	digest []leg.Digest

	status    Status
	at        int       // index of the current registrar
	round     int       // number of registrars tried in this round
	ready     bool      // local and place belong to the current registrar
	local     leg.Local // our address toward it
	place     Place
	tried     []locate.Hop      // addresses of the current registrar that have failed in this round
	bound     locate.Hop        // address of the registrar that granted the last registration
	boundBy   string            // the registrar that granted the last registration
	triedAt   time.Time         // when the last try started
	seq       uint32            // CSeq of the last request
	asking    sip.RequestMethod // method of the request that is being answered; empty if there is none
	expires   time.Duration
	leaving   bool
	removing  bool          // the last REGISTER asks to remove the binding
	notBefore time.Duration // the longest Retry-After of the registrars in this round

	challenged, intervals int // numbers of challenges and of 423s answered for the current REGISTER

	// deadlines; zero means none is set
	giveUpAt, renewAt, keepAt time.Time

	changed bool // report Changed at the end of this step
	effects []Effect
}

// wantedExpires is how long a registration we ask for. The registrar decides.
const wantedExpires = time.Hour

// New returns a registration that waits for Begin.
func New(o Options) *Machine {
	m := &Machine{o: o, tag: o.Minter.Tag(), expires: wantedExpires}
	for range o.Config.Registrars {
		m.callID = append(m.callID, message.NewCallID())
		m.digest = append(m.digest, leg.NewDigest(o.Config.Auth))
	}
	return m
}

// Status returns the status of the registration.
func (m *Machine) Status() Status { return m.status }

// Deadline returns the time at which the registration wants a DeadlineReached, or zero for never.
func (m *Machine) Deadline() time.Time { return leg.Earliest(m.giveUpAt, m.renewAt, m.keepAt) }

// Step handles an input, and returns the effects to perform.
func (m *Machine) Step(now time.Time, in Input) []Effect {
	m.effects, m.changed = nil, false
	if m.status.State == Left {
		return nil
	}
	m.lapse(now)
	switch in := in.(type) {
	case Begin:
		m.become(now, Registering)
		m.try(now)
	case Reached:
		m.reached(now, in)
	case Unreached:
		m.place = in.Place
		m.failed(now, 0, in.Err.Error())
	case Answered:
		m.answered(now, in.Res)
	case Failed:
		if in.Method == m.asking && in.Seq == m.seq {
			m.unanswered(now, in.Err.Error())
		}
	case Broken:
		m.broken(now)
	case DeadlineReached:
		m.due(now)
	case Leave:
		m.leave(now)
	}
	if m.changed {
		m.effects = append(m.effects, Changed{})
	}
	return m.effects
}

// become changes the state.
func (m *Machine) become(now time.Time, s State) {
	if m.status.State != s {
		m.status.State, m.status.Since, m.changed = s, now, true
	}
}

// lapse notices that the binding has expired.
func (m *Machine) lapse(now time.Time) {
	if m.status.State == Registered && !now.Before(m.status.Until) {
		m.status.Until = time.Time{}
		m.become(now, Unavailable)
	}
}

// try starts a registration at the current registrar.
func (m *Machine) try(now time.Time) {
	m.tried = nil
	m.find(now)
}

// find looks for an address of the registrar that has not been tried.
func (m *Machine) find(now time.Time) {
	m.ready, m.asking, m.keepAt, m.renewAt, m.status.Next = false, "", time.Time{}, time.Time{}, time.Time{}
	m.place = Place{}
	m.challenged, m.intervals = 0, 0
	m.status.Registrar, m.triedAt = m.o.Config.Registrars[m.at], now
	m.giveUpAt = now.Add(reachable)
	m.effects = append(m.effects, Reach{Query: m.hop(), Tried: m.tried})
}

// hop returns the host that requests are sent to: the outbound proxy, or else the current registrar.
func (m *Machine) hop() locate.Query {
	text := m.o.Config.OutboundProxy
	if text == "" {
		text = m.o.Config.Registrars[m.at]
	}
	uri := message.ParseURI("sip:" + text)
	return locate.Query{Host: message.TrimBrackets(uri.Host), Port: uri.Port, Transport: m.o.Transport}
}

func (m *Machine) reached(now time.Time, in Reached) {
	if m.ready || m.asking != "" || !m.renewAt.IsZero() { // the result of an earlier step
		return
	}
	m.ready, m.local, m.place = true, in.Local, in.Place
	if m.leaving && m.status.Until.IsZero() {
		m.left(now)
		return
	}
	m.register(now)
}

// register sends a REGISTER, which removes the binding if the registration is leaving.
func (m *Machine) register(now time.Time) {
	expires := m.expires
	if m.removing = m.leaving; m.removing {
		expires = 0
	}
	contact := m.local.Contact(m.o.Token)
	m.status.Contact = strings.Trim(contact, "<>")
	m.send(now, sip.REGISTER,
		sip.NewHeader("Contact", contact+";expires="+seconds(expires)),
		sip.NewHeader("Expires", seconds(expires)),
		sip.NewHeader("Supported", "path"))
}

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// send sends a request to the registrar (RFC 3261 section 10.2), with credentials if the registrar has asked for them.
func (m *Machine) send(now time.Time, method sip.RequestMethod, headers ...sip.Header) {
	m.seq++
	m.asking, m.giveUpAt, m.renewAt, m.status.Next = method, now.Add(m.patience()), time.Time{}, time.Time{}
	registrar := m.o.Config.Registrars[m.at]
	record := "<sip:" + m.o.Config.User + "@" + message.ParseURI("sip:"+registrar).Host + ">"
	out := leg.OutOfDialog{
		Method: method, URI: message.ParseURI("sip:" + registrar), From: record, To: record, Tag: m.tag,
		Branch: m.o.Minter.Branch(m.tag),
		CallID: m.callID[m.at], Seq: m.seq,
	}
	if proxy := m.o.Config.OutboundProxy; proxy != "" {
		param := ";lr"
		if message.IsStream(m.local.Transport) {
			param = ";transport=" + m.local.Transport + param
		}
		out.Route = "<sip:" + proxy + param + ">"
	}
	req := out.Request(m.local, headers...)
	if method == sip.REGISTER {
		m.digest[m.at].Authorize(req)
	}
	m.effects = append(m.effects, Send{Req: req})
}

func (m *Machine) answered(now time.Time, res *sip.Response) {
	cseq := res.CSeq()
	if cseq == nil || m.asking == "" || cseq.MethodName != m.asking || cseq.SeqNo != m.seq || res.StatusCode < 200 {
		return
	}
	was := m.asking
	m.asking, m.giveUpAt = "", time.Time{}
	switch {
	case was == sip.OPTIONS: // any answer shows that the registrar is there
		m.wait(now)
	case res.IsSuccess():
		m.granted(now, res)
	case res.StatusCode == 401 || res.StatusCode == 407:
		m.challenge(now, res)
	case res.StatusCode == 423 && m.intervals < maxIntervals && m.lengthen(res):
		m.intervals++
		m.register(now)
	default:
		after := min(message.RetryAfter(res.Headers()), maxTime)
		m.notBefore = max(m.notBefore, after)
		if res.StatusCode == 503 { // a 503 concerns the address, and not the registrar (RFC 3263 section 4.3)
			m.avoid(message.Phrase(res.Reason), after)
		}
		m.failed(now, res.StatusCode, message.Phrase(res.Reason))
	}
}

// challenge repeats the request with credentials, or fails (RFC 3261 section 22.2).
func (m *Machine) challenge(now time.Time, res *sip.Response) {
	why := m.digest[m.at].Learn(res, m.challenged > 0)
	if m.challenged++; why == cause.None && m.challenged <= maxChallenged {
		m.register(now)
		return
	}
	if why == cause.None {
		why = cause.AuthRefused
	}
	m.digest[m.at] = leg.NewDigest(m.o.Config.Auth)
	m.failed(now, res.StatusCode, why.Words())
}

// lengthen adopts the registrar's minimum time (RFC 3261 section 10.2.8). It returns false if the time is not
// acceptable.
func (m *Machine) lengthen(res *sip.Response) bool {
	least, ok := message.Seconds(message.FirstHeader(res, "Min-Expires"))
	if !ok || least <= m.expires || least > mostExpires || m.leaving {
		return false
	}
	m.expires = least
	return true
}

// granted stores the binding, and when to renew it.
func (m *Machine) granted(now time.Time, res *sip.Response) {
	if m.removing {
		m.left(now)
		return
	}
	if m.leaving { // this REGISTER was sent before Leave
		m.remove(now)
		return
	}
	lasts := m.lasts(res)
	if lasts <= 0 {
		m.failed(now, res.StatusCode, "the registrar grants nothing: its 200 has expires=0")
		return
	}
	if m.place.Hop != m.bound || m.status.Registrar != m.boundBy || m.status.Failures > 0 || m.status.Reason != "" {
		m.changed = true
	}
	m.bound, m.boundBy = m.place.Hop, m.status.Registrar
	m.status.Until, m.status.Failures, m.status.Code, m.status.Reason = now.Add(lasts), 0, 0, ""
	m.round, m.notBefore = 0, 0
	m.place.More, m.tried = m.place.More || len(m.tried) > 0, nil // a renewal may try all addresses again
	part := 0.75 + 0.1*m.o.Random()
	m.status.Next = now.Add(max(leastRenewal, time.Duration(part*float64(lasts))))
	m.become(now, Registered)
	m.wait(now)
}

// lasts returns how long the registrar has granted the binding: the expires of our Contact, or else the Expires
// header, but at most the requested time (RFC 3261 section 10.2.4).
func (m *Machine) lasts(res *sip.Response) time.Duration {
	asked := m.expires
	for _, h := range res.GetHeaders("Contact") {
		c, ok := h.(*sip.ContactHeader)
		if !ok || c.Address.User != m.o.Token {
			continue
		}
		if d, ok := message.Seconds(message.ParamOf(c.Params, "expires")); ok {
			return min(d, asked)
		}
	}
	if d, ok := message.Seconds(message.FirstHeader(res, "Expires")); ok {
		return min(d, asked)
	}
	return asked
}

// wait sets the deadlines for the next renewal and the next keep-alive.
func (m *Machine) wait(now time.Time) {
	m.renewAt = m.status.Next
	m.keepAt = time.Time{}
	if m.o.Config.KeepAlive > 0 {
		m.keepAt = now.Add(m.o.Config.KeepAlive)
	}
}

func (m *Machine) due(now time.Time) {
	is := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	switch {
	case is(m.giveUpAt) && !m.ready:
		m.unanswered(now, fmt.Sprintf("neither found nor connected to within %v", reachable))
	case is(m.giveUpAt):
		m.unanswered(now, fmt.Sprintf("no answer for %v", m.patience()))
	case is(m.renewAt) && m.status.State == Registered && m.ready:
		m.challenged, m.intervals, m.keepAt = 0, 0, time.Time{}
		m.register(now)
	case is(m.renewAt):
		m.try(now)
	case is(m.keepAt) && message.IsStream(m.local.Transport):
		m.effects = append(m.effects, Ping{})
		m.wait(now)
	case is(m.keepAt):
		m.keepAt = time.Time{}
		next := m.status.Next
		m.send(now, sip.OPTIONS)
		m.status.Next = next
	}
}

// unanswered handles a request that got no answer in time.
func (m *Machine) unanswered(now time.Time, why string) {
	if m.asking == sip.OPTIONS { // the registrar or the path to it is gone, and the binding may be gone with it
		m.avoid(why, 0)
		m.try(now)
		return
	}
	m.failed(now, 0, why)
}

// broken handles the loss of the connection over which calls come to us (RFC 5626 section 4.4). It waits a little if
// the last try was just before, so that a registrar that closes each connection is not flooded (section 4.5).
func (m *Machine) broken(now time.Time) {
	soonest := m.triedAt.Add(leastRenewal)
	switch {
	case !m.ready || m.leaving:
	case m.asking == sip.REGISTER:
		m.failed(now, 0, "the connection broke before an answer")
	case now.Before(soonest):
		m.ready, m.keepAt, m.renewAt, m.status.Next = false, time.Time{}, soonest, soonest
	default:
		m.try(now)
	}
}

// failed continues with the registrar's next address or the next registrar. After the last registrar it waits (RFC
// 5626 section 4.5).
func (m *Machine) failed(now time.Time, code int, why string) {
	m.status.Code, m.status.Reason = code, why
	// Without an answer, the registrar may still have a binding, which has to be removed.
	if m.leaving && m.ready && !m.removing && (code == 0 || !m.status.Until.IsZero()) {
		m.remove(now)
		return
	}
	m.ready, m.asking, m.giveUpAt, m.keepAt = false, "", time.Time{}, time.Time{}
	if m.leaving {
		m.left(now)
		return
	}
	if code == 0 {
		m.avoid(why, 0)
	}
	if (code == 0 || code == 503) && m.place.More && len(m.tried)+1 < maxAddresses {
		m.tried = append(m.tried, m.place.Hop)
		m.find(now)
		return
	}
	m.at = (m.at + 1) % len(m.o.Config.Registrars)
	if m.round++; m.round < len(m.o.Config.Registrars) {
		m.changed = true
		m.try(now)
		return
	}
	m.round = 0
	m.status.Failures++
	pause := baseTime
	for range min(m.status.Failures, 10) {
		pause = min(2*pause, maxTime)
	}
	pause = max(m.notBefore, time.Duration((0.5+0.5*m.o.Random())*float64(pause)))
	m.notBefore = 0
	m.changed = true
	m.renewAt = now.Add(pause)
	if m.status.State == Registered { // the old binding is still valid: retry before it ends
		m.renewAt = leg.Earliest(m.renewAt, m.status.Until)
	} else {
		m.become(now, Unavailable)
	}
	m.status.Next = m.renewAt
}

// patience returns how long to wait for an answer from the current address.
func (m *Machine) patience() time.Duration {
	if m.place.More {
		return impatience
	}
	return patience
}

// avoid reports the current address as failed, so that calls and other registrations try other addresses first.
func (m *Machine) avoid(why string, after time.Duration) {
	if m.place.Hop.Addr.IsValid() {
		m.effects = append(m.effects, Avoid{Hop: m.place.Hop, Why: why, After: after})
	}
}
