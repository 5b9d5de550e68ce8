package leg

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
)

// sessionTimer is the time that a session may go on without a sign of life
// (RFC 4028), on one leg: it is never passed through. Data only.
type sessionTimer struct {
	interval  time.Duration // agreed; 0: none
	ours      bool          // we refresh it
	least     time.Duration // Min-SE of the peer, as far as it has said so
	refreshAt time.Time
	expireAt  time.Time
	waiting   bool // a refresh is due, and something else is under way
}

const (
	// leastInterval is the shortest that anybody may ask for (RFC 4028 section 4).
	leastInterval = 90 * time.Second
	// refreshRetry is how long a refresh waits that the peer did not take.
	refreshRetry = 5 * time.Second
)

// start agrees on an interval from now on; 0: there is none.
func (t *sessionTimer) start(now time.Time, interval time.Duration, ours bool) {
	t.stop()
	if t.interval, t.ours = interval, ours; interval == 0 {
		return
	}
	// RFC 4028 section 10: BYE a third, but at most 32 s, before the end; a
	// refresh at half of it (section 7.2).
	t.expireAt = now.Add(interval - min(32*time.Second, interval/3))
	if ours {
		t.refreshAt = now.Add(interval / 2)
	}
}

func (t *sessionTimer) stop() {
	t.refreshAt, t.expireAt, t.waiting = time.Time{}, time.Time{}, false
}

// askFirst are the headers of an INVITE that begins a session: what is
// configured, but not less than the peer takes.
func (t *sessionTimer) askFirst(o PeerOptions) []sip.Header {
	if o.SessionExpires == 0 {
		return nil
	}
	return t.headers(max(o.SessionExpires, t.least), "")
}

// ask are the headers of a refresh of ours (RFC 4028 section 7.4): who
// refreshes goes on to.
func (t *sessionTimer) ask() []sip.Header {
	if t.interval == 0 {
		return nil
	}
	refresher := "uas"
	if t.ours {
		refresher = "uac"
	}
	return t.headers(max(t.interval, t.least), refresher)
}

func (t *sessionTimer) headers(interval time.Duration, refresher string) []sip.Header {
	headers := []sip.Header{sip.NewHeader("Session-Expires", message.SessionExpires{Interval: interval, Refresher: refresher}.String())}
	if t.least > 0 {
		headers = append(headers, sip.NewHeader("Min-SE", message.FormatMinSE(t.least)))
	}
	return headers
}

// answer agrees on what a request of the peer asks for, and gives the headers
// of its 2xx (RFC 4028 section 9).
func (t *sessionTimer) answer(now time.Time, req *sip.Request, o PeerOptions) []sip.Header {
	asked, refresher := askedFor(req)
	least := leastOf(req)
	able := message.HasOption(req, "Supported", "timer")
	if asked > 0 && !able { // a proxy's wish; 422 can't be (section 8.1)
		asked = max(asked, leastInterval)
	}
	interval := asked
	switch {
	case asked == 0 && t.interval > 0 && able: // in mid-call: it goes on
		interval, refresher = t.interval, "uac"
		if t.ours {
			refresher = "uas"
		}
	case asked == 0 && o.SessionExpires > 0:
		interval = max(o.SessionExpires, least)
	case o.SessionExpires > 0 && o.SessionExpires < asked: // it may be shortened, but not below what the peer takes
		interval = max(o.SessionExpires, least)
	}
	if interval == 0 {
		t.start(now, 0, false)
		return nil
	}
	if least > t.least {
		t.least = least
	}
	if !able || refresher == "" {
		refresher = "uas"
		if able {
			refresher = "uac"
		}
	}
	t.start(now, interval, refresher == "uas")
	headers := []sip.Header{sip.NewHeader("Session-Expires", message.SessionExpires{Interval: interval, Refresher: refresher}.String())}
	if refresher == "uac" {
		headers = append(headers, sip.NewHeader("Require", "timer"))
	}
	return headers
}

// agreeOnTimer is what the answer to a request of the peer says of the
// session's time, which does not run before the call is answered.
func (l *Leg) agreeOnTimer(now time.Time, req *sip.Request) []sip.Header {
	if l.state != legConfirmed && l.state != legAccepted {
		return nil
	}
	return l.timer.answer(now, req, l.Peer)
}

// taken takes what a 2xx to a request of ours says (RFC 4028 section 7.2).
func (t *sessionTimer) taken(now time.Time, res *sip.Response) {
	interval, refresher := askedFor(res)
	if interval > 0 {
		interval = max(interval, leastInterval)
	}
	t.start(now, interval, refresher != "uas")
}

// lengthen takes the Min-SE of a 422, and says whether there is a point in
// asking again (RFC 4028 section 7.3).
func (t *sessionTimer) lengthen(res *sip.Response) bool {
	least := leastOf(res)
	if least <= t.least || least > maxInterval {
		return false
	}
	t.least = least
	return true
}

// maxInterval bounds what a peer may ask for: more is no sign of life.
const maxInterval = 24 * time.Hour

// tooShort says whether a request asks for less time than a trunk or target may
// have; then it gets 422 with what it may (RFC 4028 section 9).
func tooShort(req *sip.Request, o PeerOptions) bool {
	asked, _ := askedFor(req)
	return asked > 0 && asked < o.leastSE() && message.HasOption(req, "Supported", "timer")
}

func (o PeerOptions) leastSE() time.Duration { return max(o.MinSE, leastInterval) }

// refresh shows the peer that the session lives, and sees that it does: by
// UPDATE where the peer takes that, else by re-INVITE with what was agreed.
func (l *Leg) refresh(now time.Time) {
	l.timer.refreshAt, l.timer.waiting = time.Time{}, false
	if l.state != legConfirmed || l.session.sending || l.busy() {
		l.timer.waiting = true // it goes when that is over
		return
	}
	if !l.updates {
		l.reinvite(now, l.session.local).refresh = true
		return
	}
	req, to := l.dialog.request(sip.UPDATE, 0)
	req.AppendHeader(sip.NewHeader("Contact", l.Local.contact()))
	req.AppendHeader(Supported(l.Peer))
	for _, h := range l.timer.ask() {
		req.AppendHeader(h)
	}
	l.send(req, to).refresh = true
}

// onRefreshed is the final answer to a refresh, a 2xx to a re-INVITE aside. nil:
// there is none.
func (l *Leg) onRefreshed(now time.Time, r sentRequest, res *sip.Response) {
	code := 408
	if res != nil {
		code = res.StatusCode
	}
	switch {
	case code < 300:
		if c := res.Contact(); c != nil && c.Address.Host != "" {
			l.dialog.RemoteTarget = c.Address.String()
		}
		l.timer.taken(now, res)
	case code == 408 || code == 481: // RFC 4028 section 10
		l.end(now, cause.SessionExpired)
	case r.method == sip.UPDATE && (code == 405 || code == 420 || code == 501):
		l.updates = false
		l.refresh(now)
	case code == 422 && l.timer.lengthen(res):
		l.refresh(now)
	default: // until the time is over
		l.timer.refreshAt = now.Add(refreshRetry)
	}
}

// askedFor is what a message's Session-Expires says, and who is to refresh; 0
// where there is none that can be read.
func askedFor(msg sip.Message) (interval time.Duration, refresher string) {
	s, err := message.SessionExpiresOf(msg)
	if err != nil || s == nil {
		return 0, ""
	}
	return min(s.Interval, maxInterval), s.Refresher
}

// leastOf is what a message's Min-SE says, 0 where there is none that can be
// read.
func leastOf(msg sip.Message) time.Duration {
	d, err := message.ParseMinSE(FirstHeader(msg, "min-se"))
	if err != nil {
		return 0
	}
	return d
}

// FirstHeader is the value of the first header of a name, "" where there is
// none.
func FirstHeader(msg sip.Message, name string) string {
	if h := msg.GetHeaders(name); len(h) > 0 {
		return h[0].Value()
	}
	return ""
}
