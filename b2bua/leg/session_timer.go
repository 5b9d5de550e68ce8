package leg

import (
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/message"
)

// sessionTimer is the session timer of one leg (RFC 4028), which ends a session that is not
// refreshed in time. Each leg has its own. It is plain data.
type sessionTimer struct {
	interval  time.Duration // the agreed interval; 0 means no session timer
	least     time.Duration // the peer's Min-SE; 0 if it is not known
	refreshAt time.Time
	expireAt  time.Time
	ours      bool // we send the refreshes
	waiting   bool // a refresh is due, but another exchange is in progress
}

const (
	// leastInterval is the shortest session timer that we accept (RFC 4028 section 5).
	leastInterval = 90 * time.Second
	// refreshRetry is how long the leg waits after a refused refresh before it tries again.
	refreshRetry = 5 * time.Second
)

// start starts the session timer with this interval; 0 stops it. ours says that we send the
// refreshes.
func (t *sessionTimer) start(now time.Time, interval time.Duration, ours bool) {
	t.stop()
	if t.interval, t.ours = interval, ours; interval == 0 {
		return
	}
	// RFC 4028 section 10: BYE is due 32 s before the end of the interval, or a third of the interval
	// if that is less. A refresh is due after half of the interval (section 7.2).
	t.expireAt = now.Add(interval - min(32*time.Second, interval/3))
	if ours {
		t.refreshAt = now.Add(interval / 2)
	}
}

func (t *sessionTimer) stop() {
	t.refreshAt, t.expireAt, t.waiting = time.Time{}, time.Time{}, false
}

// askFirst returns the session timer headers for the first INVITE of a call: the configured
// interval, or the peer's minimum if that is longer.
func (t *sessionTimer) askFirst(o PeerOptions) []sip.Header {
	if o.SessionExpires == 0 {
		return nil
	}
	return t.headers(max(o.SessionExpires, t.least), "")
}

// ask returns the session timer headers for a refresh (RFC 4028 section 7.4). The same side stays
// the refresher.
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
	headers := []sip.Header{sip.NewHeader("Session-Expires",
		message.SessionExpires{Interval: interval, Refresher: refresher}.String())}
	if t.least > 0 {
		headers = append(headers, sip.NewHeader("Min-SE", message.FormatMinSE(t.least)))
	}
	return headers
}

// answer accepts the session timer of the peer's request, and returns the headers for the
// 2xx (RFC 4028 section 9).
func (t *sessionTimer) answer(now time.Time, req *sip.Request, o PeerOptions) []sip.Header {
	asked, refresher := askedFor(req)
	least := leastOf(req)
	able := message.HasOption(req, "Supported", "timer")
	if asked > 0 && !able { // a proxy has asked, and the peer could not handle a 422 (section 8.1)
		asked = max(asked, leastInterval)
	}
	interval := asked
	switch {
	case asked == 0 && t.interval > 0 && able: // the existing timer continues
		interval, refresher = t.interval, "uac"
		if t.ours {
			refresher = "uas"
		}
	case asked == 0 && o.SessionExpires > 0:
		interval = max(o.SessionExpires, least)
	// We may shorten the interval, but not below the peer's Min-SE.
	case o.SessionExpires > 0 && o.SessionExpires < asked:
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
	headers := []sip.Header{sip.NewHeader("Session-Expires",
		message.SessionExpires{Interval: interval, Refresher: refresher}.String())}
	if refresher == "uac" {
		headers = append(headers, sip.NewHeader("Require", "timer"))
	}
	return headers
}

// agreeOnTimer returns the session timer headers for the response to the peer's request. Before the
// call is answered it returns none.
func (l *Leg) agreeOnTimer(now time.Time, req *sip.Request) []sip.Header {
	if l.state != legConfirmed && l.state != legAccepted {
		return nil
	}
	return l.timer.answer(now, req, l.Peer)
}

// taken starts the session timer that a 2xx to the leg's request agrees to (RFC 4028 section 7.2).
func (t *sessionTimer) taken(now time.Time, res *sip.Response) {
	interval, refresher := askedFor(res)
	if interval > 0 {
		interval = max(interval, leastInterval)
	}
	t.start(now, interval, refresher != "uas")
}

// lengthen adopts the Min-SE of a 422. It returns false if another request would be refused as well
// (RFC 4028 section 7.3).
func (t *sessionTimer) lengthen(res *sip.Response) bool {
	least := leastOf(res)
	if least <= t.least || least > maxInterval {
		return false
	}
	t.least = least
	return true
}

// maxInterval bounds the interval that a peer may ask for, because a longer one would not detect
// dead sessions in useful time.
const maxInterval = 24 * time.Hour

// tooShort reports whether a request must get 422, because its session timer is too short (RFC 4028
// section 9).
func tooShort(req *sip.Request) bool {
	asked, _ := askedFor(req)
	return asked > 0 && asked < leastInterval && message.HasOption(req, "Supported", "timer")
}

// refresh refreshes the session: by UPDATE if the peer supports that, and otherwise by a re-INVITE
// with the agreed description.
func (l *Leg) refresh(now time.Time) {
	l.timer.refreshAt, l.timer.waiting = time.Time{}, false
	if l.state != legConfirmed || l.session.sending || l.busy() {
		l.timer.waiting = true
		return
	}
	if !l.updates {
		l.reinvite(now, l.session.local).refresh = true
		return
	}
	headers := append([]sip.Header{sip.NewHeader("Contact", l.Local.contact()), Supported(l.Peer)}, l.timer.ask()...)
	req, to := l.request(&l.dialog, sip.UPDATE, headers...)
	l.send(req, to).refresh = true
}

// onRefreshed handles the final response to a refresh, except a 2xx to a re-INVITE, which
// offerTaken handles. res is nil if no response came.
func (l *Leg) onRefreshed(now time.Time, r sentRequest, res *sip.Response) {
	switch code := statusOf(res); {
	case code < 300:
		l.dialog.retarget(res.Contact())
		l.timer.taken(now, res)
	case code == 408 || code == 481: // RFC 4028 section 10
		l.end(now, cause.SessionExpired)
	case r.method == sip.UPDATE && (code == 405 || code == 420 || code == 501):
		l.updates = false
		l.refresh(now)
	case code == 422 && l.timer.lengthen(res):
		l.refresh(now)
	default:
		l.timer.refreshAt = now.Add(refreshRetry)
	}
}

// askedFor returns the interval and the refresher in a message's Session-Expires header. The
// interval is 0 if the header is missing or malformed.
func askedFor(msg sip.Message) (interval time.Duration, refresher string) {
	s, err := message.SessionExpiresOf(msg)
	if err != nil || s == nil {
		return 0, ""
	}
	return min(s.Interval, maxInterval), s.Refresher
}

// leastOf returns a message's Min-SE, or 0 if the header is missing or malformed.
func leastOf(msg sip.Message) time.Duration {
	value := message.FirstHeader(msg, "min-se")
	if value == "" {
		return 0
	}
	d, _ := message.ParseMinSE(value) // 0 after an error
	return d
}
