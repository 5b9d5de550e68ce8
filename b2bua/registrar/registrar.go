package registrar

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/message"
	"flowbridge/config"
	"flowbridge/store/record"
)

// Registrar holds the bindings of all holders. It is safe for concurrent use.
type Registrar struct {
	save   func(holder string, all []record.Binding)
	others Others // the other nodes of the fleet; nil if there are none

	mu              sync.Mutex                  // guards the fields below
	of              map[string][]record.Binding // by holder, unsorted
	recentlyRemoved map[string][]record.Binding // by holder; the other nodes are told of them
	total           int
	refilledAt      map[string]time.Time // by holder: when the holder may send a whole burst of REGISTERs again
}

// maxBindings bounds the total number of bindings.
const maxBindings = 100_000

// These are the limits of a registration's duration.
const (
	// minExpires is the shortest registration. A REGISTER that asks for less gets 423 (RFC 3261 section 10.3, step 6).
	minExpires = time.Minute
	// maxExpires is the longest registration. A REGISTER that asks for more, or names no time, gets this much.
	maxExpires = 15 * time.Minute
)

// New returns a registrar with the bindings of the old process. save is called with the bindings of a holder whenever
// they change. It is called with a lock held, and must not block. save and others may be nil.
func New(before map[string][]record.Binding, save func(holder string, all []record.Binding), others Others) *Registrar {
	if save == nil {
		save = func(string, []record.Binding) {}
	}
	r := &Registrar{save: save, others: others, refilledAt: map[string]time.Time{}}
	r.of, r.recentlyRemoved = map[string][]record.Binding{}, map[string][]record.Binding{}
	for holder, all := range before {
		r.of[holder] = all
		r.total += len(all)
	}
	return r
}

// Restore adds bindings of the old process that could not be read in time for New. It ignores a binding if its
// Contact or device has registered since.
func (r *Registrar) Restore(now time.Time, before map[string][]record.Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for holder, all := range before {
		next := slices.Clone(r.of[holder])
		for _, b := range all {
			known := func(o record.Binding) bool { return isSame(&o, &b) }
			if now.Before(b.Expires) && !slices.ContainsFunc(r.of[holder], known) &&
				r.total-len(r.of[holder])+len(next) < maxBindings {
				next = append(next, b)
			}
		}
		if len(next) > len(r.of[holder]) {
			r.set(holder, next)
		}
	}
}

// SaveAll passes the bindings of all holders to save again, because the store has lost them.
func (r *Registrar) SaveAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for holder, all := range r.of {
		r.set(holder, all)
	}
}

// Request is a REGISTER whose sender has proven the credentials of its holder.
type Request struct {
	*sip.Request
	Holder string
	Record string         // the user part of the holder's address-of-record
	From   netip.AddrPort // the address that it came from
	Flow   uint64         // ID of the connection that it came over; 0 over UDP

	path    []string         // the Path header, parsed: the proxies between us and the phone
	removed []record.Binding // bindings that this REGISTER removes; other nodes may have them as well
}

// Answer is the answer to a REGISTER.
type Answer struct {
	Code    int
	Reason  string
	Headers []sip.Header
}

func refuse(code int, reason string, headers ...sip.Header) Answer {
	return Answer{Code: code, Reason: reason, Headers: headers}
}

// Register handles a REGISTER and returns the answer to it (RFC 3261 section 10.3).
func (r *Registrar) Register(now time.Time, q Request) Answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tooOften(now, &q) {
		return refuse(503, "Too Many Registrations a Second", sip.NewHeader("Retry-After", message.RetrySeconds))
	}
	before := r.of[q.Holder]
	next, changed, refusal := apply(now, before, &q)
	switch {
	case refusal.Code != 0:
		return refusal
	case r.total-len(before)+len(next) > maxBindings:
		return refuse(503, "Too Many Registrations")
	}
	if changed || len(next) != len(before) {
		if r.others != nil {
			r.noteRemoved(now, &q)
		}
		r.set(q.Holder, next)
	}
	return granted(now, next, &q)
}

// mostContacts bounds the bindings of a holder. It also bounds a holder's REGISTERs per second, and in one burst.
const mostContacts = 100

// tooOften reports whether a holder sends more than mostContacts REGISTERs a second, or as many at once. If not, it
// counts this REGISTER. The caller must hold r.mu.
func (r *Registrar) tooOften(now time.Time, q *Request) bool {
	refilledAt := r.refilledAt[q.Holder]
	if refilledAt.Before(now) {
		refilledAt = now
	}
	refilledAt = refilledAt.Add(time.Second / mostContacts)
	if refilledAt.Sub(now) > time.Second {
		return true
	}
	r.refilledAt[q.Holder] = refilledAt
	return false
}

// set replaces the bindings of a holder, saves them and tells the other nodes. The caller must hold r.mu.
func (r *Registrar) set(holder string, all []record.Binding) {
	r.total += len(all) - len(r.of[holder])
	r.of[holder] = all
	if len(all) == 0 {
		delete(r.of, holder)
	}
	r.save(holder, all)
	if r.others != nil {
		r.others.KeepBindings(holder, slices.Concat(all, r.recentlyRemoved[holder]))
	}
}

// apply returns the bindings that a REGISTER leads to. before are the bindings that the holder has. If refusal has a
// Code, the REGISTER is refused and the bindings must not change. changed is false if the REGISTER only asks for the
// bindings.
func apply(now time.Time, before []record.Binding, q *Request) (next []record.Binding, changed bool, refusal Answer) {
	if strange := extensions(q.Request); strange != "" {
		return nil, false, refuse(420, "Bad Extension", sip.NewHeader("Unsupported", strange))
	}
	if message.Unescape(q.To().Address.User) != q.Record {
		return nil, false, refuse(403, "To Is Not the User of the Credentials")
	}
	contacts, all, wrong := message.ContactsIn(q.Request)
	header, there := time.Duration(-1), message.RawValues(q.Request, "expires", "expires")
	if len(there) > 0 {
		header = message.ExpiresOf(there[0])
	}
	switch {
	case wrong != "":
		return nil, false, refuse(400, wrong)
	case all && (len(contacts) > 0 || len(q.GetHeaders("Contact")) > 1):
		return nil, false, refuse(400, "Contact * Is Not Alone")
	case all && header != 0:
		return nil, false, refuse(400, "Contact * Needs Expires: 0")
	}
	left := slices.DeleteFunc(slices.Clone(before), func(b record.Binding) bool { return !now.Before(b.Expires) })
	if all {
		if slices.ContainsFunc(left, q.isOld) {
			return nil, false, refuse(500, "REGISTER Is Older Than the Last One")
		}
		q.removes(now, "*", "")
		return nil, true, Answer{}
	}
	if len(contacts) == 0 {
		return left, false, Answer{}
	}
	next, refusal = q.bindAll(now, left, contacts, header)
	return next, true, refusal
}

// bound is a binding during the handling of a REGISTER.
type bound struct {
	record.Binding
	uri sip.Uri // URI of its Contact
	old bool    // see isOld
}

// bindAll adds, renews or removes a binding for each Contact of a REGISTER.
func (q *Request) bindAll(now time.Time, before []record.Binding, contacts []message.Contact,
	header time.Duration,
) (next []record.Binding, refusal Answer) {
	if len(contacts) > 2*mostContacts { // enough to remove and replace every binding
		return nil, refuse(403, "Too Many Contacts")
	}
	q.path, refusal = pathOf(q.Request)
	if refusal.Code != 0 {
		return nil, refusal
	}
	all := make([]bound, len(before))
	for i, b := range before {
		all[i] = bound{Binding: b, uri: message.ParseURI(b.Contact), old: q.isOld(b)}
	}
	for i := range contacts {
		all, refusal = q.bind(now, all, &contacts[i], header)
		if refusal.Code != 0 {
			return nil, refusal
		}
	}
	for i := range all {
		next = append(next, all[i].Binding)
	}
	return next, Answer{}
}

// pathOf returns a copy of the Path header of a request.
func pathOf(req *sip.Request) (path []string, refusal Answer) {
	all, size := message.Values(req, "path"), 0
	if len(all) > maxProxies {
		return nil, refuse(400, "Path Is Too Long")
	}
	for _, value := range all {
		if message.ParseURI(message.AddrSpec(value)).Host == "" {
			return nil, refuse(400, "Path Is Malformed")
		}
		size += len(value)
		if size > maxPath {
			return nil, refuse(400, "Path Is Too Long")
		}
		path = append(path, strings.Clone(value))
	}
	return path, Answer{}
}

// extensions returns the option tags that a request requires and that we do not support (RFC 3261 section 8.2.2.3).
func extensions(req *sip.Request) string {
	var strange []string
	for _, list := range message.RawValues(req, "require", "require") {
		for tag := range strings.SplitSeq(list, ",") {
			tag = message.Trim(tag)
			if tag != "" && !strings.EqualFold(tag, "path") {
				strange = append(strange, tag)
			}
		}
	}
	return strings.Join(strange, ", ")
}

// isOld reports whether a binding was made by the same user agent with this REGISTER or a later one.
func (q *Request) isOld(b record.Binding) bool {
	return b.CallID == clip(q.CallID().Value()) && q.CSeq().SeqNo <= b.CSeq
}

// bind adds, renews or removes the binding of one Contact. header is the REGISTER's Expires, or negative if it has
// none.
func (q *Request) bind(now time.Time, all []bound, c *message.Contact, header time.Duration) ([]bound, Answer) {
	secure := message.TransportOf(q.Request) == config.TransportTLS
	if c.URI.Scheme != "sip" && (c.URI.Scheme != "sips" || !secure) || c.URI.Host == "" {
		return nil, refuse(400, "Contact Is No sip URI")
	}
	lasts := c.Expires
	if lasts < 0 {
		lasts = header
	}
	switch {
	case lasts < 0:
		lasts = maxExpires
	case lasts > 0 && lasts < minExpires:
		return nil, refuse(423, "Interval Too Brief", sip.NewHeader("Min-Expires", seconds(minExpires)))
	}
	lasts = min(lasts, maxExpires)
	uri := message.URIText(&c.URI)
	if len(uri) > message.MaxURI {
		return nil, refuse(400, "Contact Is Too Long")
	}
	instance := clip(c.Instance)
	replaced := func(b bound) bool {
		return message.SameURI(&b.uri, &c.URI) || instance != "" && b.Instance == instance
	}
	if slices.ContainsFunc(all, func(b bound) bool { return b.old && replaced(b) }) {
		return nil, refuse(500, "REGISTER Is Older Than the Last One")
	}
	all = slices.DeleteFunc(all, replaced)
	switch {
	case lasts == 0:
		q.removes(now, strings.Clone(uri), instance)
		return all, Answer{}
	case len(all) >= mostContacts:
		return nil, refuse(403, "Too Many Contacts")
	}
	return append(all, bound{uri: c.URI, Binding: record.Binding{
		Contact: strings.Clone(uri), Instance: instance, Q: c.Q, CallID: clip(q.CallID().Value()), CSeq: q.CSeq().SeqNo,
		Path: q.path, Received: q.From, Transport: message.TransportName(message.TransportOf(q.Request)), Flow: q.Flow,
		Agent: clip(message.FirstHeader(q.Request, "User-Agent")), Registered: now, Expires: now.Add(lasts),
	}}), Answer{}
}

// removes notes that the request removes the binding of a Contact or device.
func (q *Request) removes(now time.Time, contact, instance string) {
	q.removed = append(q.removed, record.Binding{
		Contact: contact, Instance: instance, CallID: clip(q.CallID().Value()), CSeq: q.CSeq().SeqNo, Registered: now,
	})
}

const (
	// maxPath bounds the total length of a binding's Path, in bytes. maxProxies bounds its entries.
	maxPath    = 2048
	maxProxies = 8
	// maxWord bounds every other text in a binding that the peer chooses, in bytes.
	maxWord = 256
)

// clip returns a copy of a text, cut to maxWord bytes. The copy lets the message be freed.
func clip(text string) string { return strings.Clone(text[:min(len(text), maxWord)]) }

func seconds(d time.Duration) string { return strconv.FormatInt(int64(d/time.Second), 10) }

// granted returns the answer to an accepted REGISTER, which lists all bindings with their remaining time (RFC 3261
// section 10.3, step 8).
func granted(now time.Time, all []record.Binding, q *Request) Answer {
	out := Answer{Code: 200, Reason: message.StatusText(200)}
	for _, b := range best(all) {
		left := (b.Expires.Sub(now) + time.Second - 1).Truncate(time.Second)
		value := "<" + b.Contact + ">;expires=" + seconds(left)
		if b.Q != 1000 {
			value += ";q=0." + strconv.Itoa(1000 + b.Q)[1:]
		}
		out.Headers = append(out.Headers, sip.NewHeader("Contact", value))
	}
	if message.HasOption(q.Request, "Supported", "path") { // RFC 3327 section 5.3
		for _, p := range message.Values(q.Request, "path") {
			out.Headers = append(out.Headers, sip.NewHeader("Path", p))
		}
	}
	return out
}

// best returns the bindings sorted by q, the highest first. With equal q, the latest registration comes first.
func best(all []record.Binding) []record.Binding {
	all = slices.Clone(all)
	slices.SortStableFunc(all, func(a, b record.Binding) int {
		if a.Q != b.Q {
			return b.Q - a.Q
		}
		return b.Registered.Compare(a.Registered)
	})
	return all
}

// Of returns the bindings of a holder that have not expired, best first.
func (r *Registrar) Of(holder string, now time.Time) []record.Binding {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(best(r.of[holder]), func(b record.Binding) bool { return !now.Before(b.Expires) })
}

// Drop removes a binding whose phone can't be reached any more.
func (r *Registrar) Drop(holder string, gone record.Binding) {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := slices.DeleteFunc(slices.Clone(r.of[holder]), func(b record.Binding) bool {
		return b.Contact == gone.Contact && b.Received == gone.Received && b.CSeq == gone.CSeq
	})
	if len(left) < len(r.of[holder]) {
		r.set(holder, left)
	}
}

// Tidy removes the bindings that have expired, and those of holders that no longer exist.
func (r *Registrar) Tidy(now time.Time, isHolder func(string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.refilledAt, func(holder string, _ time.Time) bool { return !isHolder(holder) })
	maps.DeleteFunc(r.recentlyRemoved, func(holder string, _ []record.Binding) bool { return !isHolder(holder) })
	for holder, all := range r.of {
		left := slices.DeleteFunc(slices.Clone(all),
			func(b record.Binding) bool { return !now.Before(b.Expires) || !isHolder(holder) })
		if len(left) < len(all) {
			r.set(holder, left)
		}
	}
}

// Holder is a holder with its bindings.
type Holder struct {
	Name     string
	Bindings []record.Binding
}

// All returns the bindings of all holders, in the order of their names.
func (r *Registrar) All(now time.Time) (all []Holder) {
	r.mu.Lock()
	names := slices.Sorted(maps.Keys(r.of))
	r.mu.Unlock()
	for _, name := range names {
		if of := r.Of(name, now); len(of) > 0 {
			all = append(all, Holder{Name: name, Bindings: of})
		}
	}
	return all
}
