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

// The states.
const (
	Registering State = "registering" // no registrar has answered yet
	Registered  State = "registered"  // a binding holds
	Unavailable State = "failed"      // no binding holds, and the next try is due later
	Left        State = "left"        // the binding is removed, or the registrar does not answer
)

// Status is the status of a registration.
type Status struct {
	State     State
	Registrar string    // the registrar in use, or tried last
	Contact   string    // the URI that is registered there
	Since     time.Time // start of State
	Until     time.Time // end of the binding; zero if there is none
	Next      time.Time // time of the next REGISTER; zero while one waits for its answer
	Failures  int       // failed rounds over all registrars in a row
	Code      int       // status of the last refusal; 0 if there was none, or no answer
	Reason    string    // why the last try failed; empty if it did not
}

// Options holds the constants of a registration.
type Options struct {
	Config    *config.Register
	Transport string // config.Transport…
	Token     string // the user of its Contact
	Minter    *message.Minter
	Agent     string         // User-Agent
	Random    func() float64 // from 0 to below 1
}

const (
	// patience is a registrar's time limit for an answer: half of Timer F (RFC 3261 section 17.1.2.2), so that the next
	// one is tried in time.
	patience = 32 * leg.T1
	// impatience is the time limit of an address that is not the last one: three retransmissions over UDP.
	impatience = 8 * leg.T1
	// maxAddresses bounds the addresses of a registrar that are tried in a round.
	maxAddresses = 8
	// reachable is the time limit for finding a host and connecting to it.
	reachable = 10 * time.Second
	// baseTime and maxTime bound the wait after failures (RFC 5626 section 4.5).
	baseTime = 30 * time.Second
	maxTime  = 30 * time.Minute
	// leastRenewal is the shortest time between two renewals: a registrar that grants hardly any time gets no flood.
	leastRenewal = 2 * time.Second
	// mostExpires is the longest registration that we ask for or believe.
	mostExpires = 24 * time.Hour
	// maxChallenged bounds the answered challenges to one REGISTER: a proxy's, the registrar's, and a stale nonce.
	maxChallenged = 3
	// maxIntervals bounds how often a registrar may refuse the time as too short.
	maxIntervals = 2
)

// Machine is one registration. One goroutine owns it. It never reads the clock.
type Machine struct {
	o      Options
	tag    string   // tag of From
	callID []string // one for each registrar (RFC 3261 section 10.2.4)
	digest []leg.Digest

	status    Status
	at        int       // index of the registrar
	round     int       // registrars tried in this round
	ready     bool      // local and place are set for this registrar
	local     leg.Local // our address toward it
	place     Place
	tried     []locate.Hop      // addresses of this registrar that have failed in this round
	bound     locate.Hop        // address of the registrar that granted the last registration
	boundBy   string            // the registrar that granted the last registration
	triedAt   time.Time         // time of the last try
	seq       uint32            // CSeq of the last request
	asking    sip.RequestMethod // method of the request that waits for its answer; empty if none
	expires   time.Duration
	leaving   bool
	removing  bool          // the last REGISTER removes the binding
	notBefore time.Duration // Retry-After of a registrar in this round

	challenged, intervals int // counts for the current REGISTER

	// deadlines; zero means none
	giveUpAt, renewAt, keepAt time.Time

	changed bool // the Status has changed in this step
	effects []Effect
}

// wantedExpires is the duration that we ask for. The registrar decides.
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

// lapse records that the binding has ended.
func (m *Machine) lapse(now time.Time) {
	if m.status.State == Registered && !now.Before(m.status.Until) {
		m.status.Until = time.Time{}
		m.become(now, Unavailable)
	}
}

// try begins a registration at the current registrar.
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

// hop returns the destination of requests.
func (m *Machine) hop() locate.Query {
	text := m.o.Config.OutboundProxy
	if text == "" {
		text = m.o.Config.Registrars[m.at]
	}
	uri := message.ParseURI("sip:" + text)
	return locate.Query{Host: message.TrimBrackets(uri.Host), Port: uri.Port, Transport: m.o.Transport}
}

func (m *Machine) reached(now time.Time, in Reached) {
	if m.ready || m.asking != "" || !m.renewAt.IsZero() { // too late for the current step
		return
	}
	m.ready, m.local, m.place = true, in.Local, in.Place
	if m.leaving && m.status.Until.IsZero() {
		m.left(now)
		return
	}
	m.register(now)
}

// register sends a REGISTER.
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
		CallID: m.callID[m.at], Seq: m.seq, Agent: m.o.Agent,
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
		if res.StatusCode == 503 { // that concerns the address, and not the registrar (RFC 3263 section 4.3)
			m.avoid(message.Phrase(res.Reason), after)
		}
		m.failed(now, res.StatusCode, message.Phrase(res.Reason))
	}
}

// challenge answers a challenge (RFC 3261 section 22.2).
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

// lengthen adopts the minimum time that the registrar wants (RFC 3261 section 10.2.8), and reports whether another try
// makes sense.
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
	if m.leaving { // the REGISTER was sent before Leave
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

// lasts returns the binding's lifetime: our Contact's, or Expires, but at most the requested time (RFC 3261 10.2.4).
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

// wait sets the deadlines of a valid registration.
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

// unanswered handles the registrar's silence.
func (m *Machine) unanswered(now time.Time, why string) {
	if m.asking == sip.OPTIONS { // the registrar, or the way to it, is gone, and so may be the binding
		m.avoid(why, 0)
		m.try(now)
		return
	}
	m.failed(now, 0, why)
}

// broken handles the loss of the way by which calls come to us (RFC 5626 section 4.4). A registrar that closes each
// connection gets no flood (section 4.5).
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

// failed continues with the next registrar, or waits after the last one (RFC 5626 section 4.5).
func (m *Machine) failed(now time.Time, code int, why string) {
	m.status.Code, m.status.Reason = code, why
	// Without an answer there may still be a binding.
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
	if m.status.State == Registered { // the binding is still valid, so do not wait longer than that
		m.renewAt = leg.Earliest(m.renewAt, m.status.Until)
	} else {
		m.become(now, Unavailable)
	}
	m.status.Next = m.renewAt
}

// patience returns the time limit of the current address for an answer.
func (m *Machine) patience() time.Duration {
	if m.place.More {
		return impatience
	}
	return patience
}

// avoid makes calls and other registrations try other addresses first.
func (m *Machine) avoid(why string, after time.Duration) {
	if m.place.Hop.Addr.IsValid() {
		m.effects = append(m.effects, Avoid{Hop: m.place.Hop, Why: why, After: after})
	}
}

// leave removes the binding, if any.
func (m *Machine) leave(now time.Time) {
	if m.leaving {
		return
	}
	m.leaving = true
	m.renewAt, m.keepAt = time.Time{}, time.Time{}
	switch {
	case m.asking == sip.REGISTER:
		// Only one request may be under way (RFC 3261 section 10.2). Its answer, or giveUpAt, will cause the removal.
	case m.status.Until.IsZero():
		m.left(now)
	case !m.ready:
		m.try(now)
	default:
		m.remove(now)
	}
}

// remove removes the binding, with a request over the existing connection or address.
func (m *Machine) remove(now time.Time) {
	m.challenged, m.intervals = 0, 0
	m.register(now)
}

func (m *Machine) left(now time.Time) {
	m.giveUpAt, m.renewAt, m.keepAt, m.asking = time.Time{}, time.Time{}, time.Time{}, ""
	m.status.Until, m.status.Next = time.Time{}, time.Time{}
	m.become(now, Left)
}
