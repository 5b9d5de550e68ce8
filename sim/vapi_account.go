package sim

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
)

const maxVapiObjects = 10_000 // of a kind

// vapiAccount holds the assistants and phone numbers. An object in it is never
// changed: a change puts another in its place.
type vapiAccount struct {
	names sipNames
	org   string

	mu         sync.Mutex // guards what follows
	assistants vapiTable
	numbers    vapiTable
	lines      map[string]*vapiLine // by id of the number
}

// vapiTable is the objects of a kind by id, and in order.
type vapiTable struct {
	kind  string
	byID  map[string]map[string]any
	order []string
}

// vapiLine is what a call needs of a phone number.
type vapiLine struct {
	id      string
	user    string // of its sipUri, in lower case
	members map[string]any
	asks    *challenger // nil: nobody is challenged
}

// vapiError is an answer of the API other than success.
type vapiError struct {
	code  int
	words []string
}

func refused(code int, words ...string) *vapiError { return &vapiError{code, words} }

func newVapiAccount(names sipNames) *vapiAccount {
	return &vapiAccount{
		names: names, org: uuid.NewString(), lines: map[string]*vapiLine{},
		assistants: vapiTable{kind: "Assistant", byID: map[string]map[string]any{}},
		numbers:    vapiTable{kind: "Phone Number", byID: map[string]map[string]any{}},
	}
}

// add keeps an object with what the platform adds to it.
func (a *vapiAccount) add(t *vapiTable, object map[string]any, id string) map[string]any {
	now := time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	object["id"], object["orgId"], object["createdAt"], object["updatedAt"] = id, a.org, now, now
	t.byID[id] = object
	t.order = append(t.order, id)
	return object
}

func (t *vapiTable) get(id string) (map[string]any, *vapiError) {
	if o := t.byID[id]; o != nil {
		return o, nil
	}
	return nil, refused(404, "Couldn't find "+t.kind+" "+strconv.Quote(id)+".")
}

func (t *vapiTable) list() []map[string]any {
	out := make([]map[string]any, 0, len(t.order))
	for _, id := range t.order {
		out = append(out, t.byID[id])
	}
	return out
}

func (t *vapiTable) full() *vapiError {
	if len(t.order) < maxVapiObjects {
		return nil
	}
	return refused(400, fmt.Sprintf("there are %d of them already, which is as many as this stand-in keeps", maxVapiObjects))
}

func (t *vapiTable) remove(id string) {
	delete(t.byID, id)
	t.order = slices.DeleteFunc(t.order, func(s string) bool { return s == id })
}

// changed is an object with the members of a PATCH.
func changed(object, patch map[string]any) map[string]any {
	out := maps.Clone(object)
	maps.Copy(out, patch)
	out["updatedAt"] = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	return out
}

func (a *vapiAccount) createAssistant(body map[string]any) (map[string]any, *vapiError) {
	if wrong := assistantFields.wrong(body); len(wrong) > 0 {
		return nil, refused(400, wrong...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.assistants.full(); err != nil {
		return nil, err
	}
	return a.add(&a.assistants, body, uuid.NewString()), nil
}

func (a *vapiAccount) changeAssistant(id string, body map[string]any) (map[string]any, *vapiError) {
	if wrong := assistantFields.wrong(body); len(wrong) > 0 {
		return nil, refused(400, wrong...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old, err := a.assistants.get(id)
	if err != nil {
		return nil, err
	}
	a.assistants.byID[id] = changed(old, body)
	return a.assistants.byID[id], nil
}

func (a *vapiAccount) createNumber(body map[string]any) (map[string]any, *vapiError) {
	if wrong := newNumberFields.wrong(body, "provider", "sipUri"); len(wrong) > 0 {
		return nil, refused(400, wrong...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.numbers.full(); err != nil {
		return nil, err
	}
	body["status"] = "active"
	id := uuid.NewString()
	line, err := a.line(id, body)
	if err != nil {
		return nil, err
	}
	a.lines[id] = line
	return a.add(&a.numbers, body, id), nil
}

func (a *vapiAccount) changeNumber(id string, body map[string]any) (map[string]any, *vapiError) {
	if wrong := numberFields.wrong(body); len(wrong) > 0 {
		return nil, refused(400, wrong...)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	old, err := a.numbers.get(id)
	if err != nil {
		return nil, err
	}
	object := changed(old, body)
	line, err := a.line(id, object)
	if err != nil {
		return nil, err
	}
	a.numbers.byID[id], a.lines[id] = object, line
	return object, nil
}

// remove takes an object out of its table.
func (a *vapiAccount) remove(t *vapiTable, id string) (map[string]any, *vapiError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, err := t.get(id)
	if err != nil {
		return nil, err
	}
	t.remove(id)
	delete(a.lines, id)
	return old, nil
}

// line checks what makes a number one that can be called. The lock is held.
func (a *vapiAccount) line(id string, object map[string]any) (*vapiLine, *vapiError) {
	uri, _ := object["sipUri"].(string)
	user, words := a.names.user(uri)
	if words != "" {
		return nil, refused(400, "sipUri "+words)
	}
	for other, l := range a.lines {
		if other != id && l.user == user {
			return nil, refused(400, "sipUri "+strconv.Quote(uri)+" is taken by another phone number. Choose another username.")
		}
	}
	if assistant, given := object["assistantId"].(string); given {
		if _, err := a.assistants.get(assistant); err != nil {
			return nil, refused(400, err.words...)
		}
	}
	line := &vapiLine{id: id, user: user, members: object}
	if auth, given := object["authentication"].(map[string]any); given {
		realm, _ := auth["realm"].(string)
		if realm == "" {
			realm = a.names.region // page "SIP introduction", SipAuthentication: sip.vapi.ai unless said
		}
		line.asks = newChallenger(SIPAuth{User: auth["username"].(string), Password: auth["password"].(string), Realm: realm})
	}
	return line, nil
}

// called finds the number of a Request-URI; the words say why there is none.
func (a *vapiAccount) called(user, host string, port int) (*vapiLine, string) {
	if words := a.names.host(host, port); words != "" {
		return nil, "the host of the Request-URI " + words
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, l := range a.lines {
		if l.user == strings.ToLower(user) { // the API reference: a sipUri is case-insensitive
			return l, ""
		}
	}
	return nil, "no phone number has this sipUri"
}

// assistant gives an assistant by id.
func (a *vapiAccount) assistant(id string) (map[string]any, *vapiError) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.assistants.get(id)
}

// sipNames are the hosts that a stand-in is called at.
type sipNames struct {
	region string         // the platform's own name
	own    netip.AddrPort // where the stand-in listens
	extra  string         // how else it is called, may be empty
}

// user takes a sipUri apart; the words say what is wrong with it.
func (n sipNames) user(uri string) (user, words string) {
	rest, isSIP := strings.CutPrefix(uri, "sip:")
	user, host, hasUser := strings.Cut(rest, "@")
	if !isSIP || !hasUser || user == "" || strings.Trim(strings.ToLower(user), "abcdefghijklmnopqrstuvwxyz0123456789-_.+") != "" {
		return "", "must be in the format sip:username@" + n.region
	}
	name, port, err := splitHost(host)
	if err != nil {
		return "", "must be in the format sip:username@" + n.region
	}
	if words := n.host(name, port); words != "" {
		return "", "has a host that " + words
	}
	return strings.ToLower(user), ""
}

func splitHost(s string) (host string, port int, err error) {
	if at, err := netip.ParseAddrPort(s); err == nil {
		return at.Addr().String(), int(at.Port()), nil
	}
	host, digits, hasPort := strings.Cut(s, ":")
	if _, err := netip.ParseAddr(trimBrackets(s)); err == nil {
		return trimBrackets(s), 0, nil
	}
	if hasPort {
		if port, err = strconv.Atoi(digits); err != nil || port < 1 || port > 65535 {
			return "", 0, fmt.Errorf("port %q", digits)
		}
	}
	return host, port, nil
}

// host says why a host is not ours; port is 0 where none is given.
func (n sipNames) host(host string, port int) string {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	switch {
	case host == n.region:
		if port == 0 || port == 5060 {
			return ""
		}
	case n.extra != "" && host == strings.ToLower(n.extra), host == "localhost":
		return ""
	default:
		ip, err := netip.ParseAddr(trimBrackets(host))
		ours := err == nil && (ip.Unmap() == n.own.Addr() || n.own.Addr().IsUnspecified())
		if ours && (port == int(n.own.Port()) || port == 0) {
			return ""
		}
	}
	return "is not this region's (" + n.region + ") nor the stand-in's own (" + n.own.String() + ")"
}
