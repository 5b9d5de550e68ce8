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

// account holds the assistants and phone numbers. Its objects are never changed.
type account struct {
	org string

	mu         sync.Mutex // guards the fields below
	assistants objects
	numbers    objects
	asks       map[string]*sim.Challenger // by the id of a number with authentication
}

// objects holds the objects of one kind.
type objects struct {
	standin.Table[standin.Object]
	kind string
}

func newAccount() *account {
	return &account{
		org: uuid.NewString(), asks: map[string]*sim.Challenger{},
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

// put creates an object, or changes the given members of the object in the path. The caller must hold the lock.
func (a *account) put(t *objects, r standin.Request) (standin.Object, *standin.Refusal) {
	id, now := r.PathValue("id"), stamp(time.Now())
	object := standin.Object{"id": uuid.NewString(), "orgId": a.org, "createdAt": now}
	if id != "" {
		old, refusal := t.find(id)
		if refusal != nil {
			return nil, refusal
		}
		object = maps.Clone(old)
	}
	id = object.Text("id")
	maps.Copy(object, r.Sent)
	object["id"], object["updatedAt"] = id, now
	if t == &a.numbers {
		if refusal := a.check(object); refusal != nil {
			return nil, refusal
		}
		object["status"] = "active"
		if auth := object.Object("authentication"); auth != nil {
			// The default realm is sip.vapi.ai (page "SIP introduction", SipAuthentication).
			a.asks[id] = sim.NewChallenger(sim.SIPAuth{
				User: auth.Text("username"), Password: auth.Text("password"), Realm: cmp.Or(auth.Text("realm"), sipHost),
			})
		}
	}
	t.Put(id, object)
	return object, nil
}

// remove removes the object in the path. The caller must hold the lock.
func (a *account) remove(t *objects, r standin.Request) (standin.Object, *standin.Refusal) {
	id := r.PathValue("id")
	old, refusal := t.find(id)
	t.Remove(id)
	delete(a.asks, id)
	return old, refusal
}

// check checks the members that a call to a number needs. The caller must hold the lock.
func (a *account) check(number standin.Object) *standin.Refusal {
	uri := number.Text("sipUri")
	parts := sipURI.FindStringSubmatch(strings.ToLower(uri))
	switch {
	case parts == nil:
		return standin.Refuse(http.StatusBadRequest, "sipUri must be in the format sip:username@%s", sipHost)
	case isForeign(parts[2]):
		return standin.Refuse(http.StatusBadRequest, "sipUri has a host that is not this region's (%s)", sipHost)
	case a.numberOf(parts[1]) != nil && a.numberOf(parts[1]).Text("id") != number.Text("id"):
		return standin.Refuse(http.StatusBadRequest, "sipUri %q is taken by another phone number. Choose another username.", uri)
	}
	if assistant := number.Text("assistantId"); assistant != "" {
		if _, refusal := a.assistants.find(assistant); refusal != nil {
			return standin.Refuse(http.StatusBadRequest, "%s", refusal.Words[0])
		}
	}
	return nil
}

// numberOf returns the number whose sipUri has this user, or nil. Case does not matter (API reference). The caller
// must hold the lock.
func (a *account) numberOf(user string) standin.Object {
	for _, n := range a.numbers.All() {
		if sipURI.FindStringSubmatch(strings.ToLower(n.Text("sipUri")))[1] == strings.ToLower(user) {
			return n
		}
	}
	return nil
}

// called returns the number for a Request-URI, and its challenger. words are the reason for a refusal.
func (a *account) called(to sim.Address) (number standin.Object, asks *sim.Challenger, words string) {
	if isForeign(to.Host) {
		return nil, nil, "the Request-URI has a host that is not this region's (" + sipHost + ")"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	number = a.numberOf(to.User)
	if number == nil {
		return nil, nil, "no phone number has this sipUri"
	}
	return number, a.asks[number.Text("id")], ""
}

// get locks the account and returns an object.
func (a *account) get(t *objects, id string) (standin.Object, *standin.Refusal) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return t.find(id)
}

// sipURI splits a sipUri in lower case into user and host.
var sipURI = regexp.MustCompile(`^sip:([a-z0-9._+-]+)@(\[[0-9a-f:.]+\]|[^:@]+)(?::[0-9]{1,5})?$`)

// isForeign reports whether a host is Vapi's, but in the other region.
func isForeign(host string) bool { return strings.EqualFold(strings.TrimSuffix(host, "."), otherHost) }
