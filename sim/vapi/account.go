package vapi

import (
	"cmp"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// account holds the assistants and phone numbers. Its objects are never changed, but
// replaced.
type account struct {
	region string // whose SIP host a sipUri may have
	org    string

	mu         sync.Mutex // guards what follows
	assistants objects
	numbers    objects
	lines      map[string]*line // by id of the number
}

// objects are the objects of one kind.
type objects struct {
	standin.Table[standin.Object]
	kind string
}

// line is the part of a phone number that a call needs.
type line struct {
	id      string
	user    string // of its sipUri, in lower case
	members standin.Object
	asks    *sim.Challenger // nil: no challenge
}

func newAccount(region string) *account {
	return &account{
		region: region, org: uuid.NewString(), lines: map[string]*line{},
		assistants: objects{kind: "Assistant"}, numbers: objects{kind: "Phone Number"},
	}
}

// find returns an object or a refusal.
func (o *objects) find(id string) (standin.Object, *standin.Refusal) {
	if object := o.Get(id); object != nil {
		return object, nil
	}
	return nil, standin.Refuse(http.StatusNotFound, "Couldn't find %s %q.", o.kind, id)
}

// put creates an object. The account is locked.
func (a *account) put(t *objects, r standin.Request) (standin.Object, *standin.Refusal) {
	id, now, object := uuid.NewString(), stamp(time.Now()), maps.Clone(r.Sent)
	object["id"], object["orgId"], object["createdAt"], object["updatedAt"] = id, a.org, now, now
	if t == &a.numbers {
		object["status"] = "active"
		l, refusal := a.line(id, object)
		if refusal != nil {
			return nil, refusal
		}
		a.lines[id] = l
	}
	t.Put(id, object)
	return object, nil
}

// remove removes the object of the path. The account is locked.
func (a *account) remove(t *objects, r standin.Request) (standin.Object, *standin.Refusal) {
	id := r.PathValue("id")
	old, refusal := t.find(id)
	t.Remove(id)
	delete(a.lines, id)
	return old, refusal
}

// line checks the members that a call needs. The caller has the lock.
func (a *account) line(id string, object standin.Object) (*line, *standin.Refusal) {
	uri := object.Text("sipUri")
	user, words := a.user(uri)
	if words != "" {
		return nil, standin.Refuse(http.StatusBadRequest, "sipUri %s", words)
	}
	for _, l := range a.lines {
		if l.user == user {
			return nil, standin.Refuse(http.StatusBadRequest, "sipUri %q is taken by another phone number. Choose another username.", uri)
		}
	}
	if assistant, given := object["assistantId"].(string); given {
		if _, refusal := a.assistants.find(assistant); refusal != nil {
			return nil, standin.Refuse(http.StatusBadRequest, "%s", refusal.Words[0])
		}
	}
	l := &line{id: id, user: user, members: object}
	if auth := object.Object("authentication"); auth != nil {
		// The default realm is sip.vapi.ai (page "SIP introduction", SipAuthentication).
		l.asks = sim.NewChallenger(sim.SIPAuth{
			User: auth.Text("username"), Password: auth.Text("password"), Realm: cmp.Or(auth.Text("realm"), sipHosts[a.region]),
		})
	}
	return l, nil
}

// called finds the number of a Request-URI. The words are the reason of a refusal.
func (a *account) called(to sim.Address) (*line, string) {
	if words := a.foreign(to.Host); words != "" {
		return nil, "the Request-URI " + words
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.lines {
		if l.user == strings.ToLower(to.User) { // the API reference: a sipUri is case-insensitive
			return l, ""
		}
	}
	return nil, "no phone number has this sipUri"
}

// get locks the account and returns an object.
func (a *account) get(t *objects, id string) (standin.Object, *standin.Refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.find(id)
}

// The parts of a sipUri in lower case: user and host.
var sipURI = regexp.MustCompile(`^sip:([a-z0-9._+-]+)@(\[[0-9a-f:.]+\]|[^:@]+)(?::[0-9]{1,5})?$`)

// user returns the user of a sipUri. The words say what is wrong with it.
func (a *account) user(uri string) (user, words string) {
	parts := sipURI.FindStringSubmatch(strings.ToLower(uri))
	if parts == nil {
		return "", "must be in the format sip:username@" + sipHosts[a.region]
	}
	return parts[1], a.foreign(parts[2])
}

// foreign says why a host is not the stand-in's: it is another region's.
func (a *account) foreign(host string) string {
	for region, name := range sipHosts {
		if region != a.region && strings.EqualFold(strings.TrimSuffix(host, "."), name) {
			return "has a host that is not this region's (" + sipHosts[a.region] + ")"
		}
	}
	return ""
}
