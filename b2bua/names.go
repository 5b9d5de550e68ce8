package b2bua

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/emiago/sipgo/sip"

	"flowbridge/config"
)

// Further ids of live calls, by which others ask for them: the Call-IDs of the
// legs, what platforms and carriers call them, and the numbers that are on
// their way to a platform of kind vapi.

// maxCallName bounds an id, in bytes, and maxCallNames how many a call has.
const (
	maxCallName  = 256
	maxCallNames = 32
)

var (
	// ErrUnknownCall means that no live call has an id.
	ErrUnknownCall = errors.New("no live call has this id")
	// ErrSeveralCalls means that several have it, so that it is none's.
	ErrSeveralCalls = errors.New("several live calls have this id")
)

// names is guarded by the registry's lock.
type names struct {
	calls map[string][]*Call
	of    map[*Call][]string
}

func newNames() names { return names{calls: map[string][]*Call{}, of: map[*Call][]string{}} }

func (n *names) add(id string, c *Call) {
	if id == "" || len(id) > maxCallName || len(n.of[c]) >= maxCallNames || slices.Contains(n.of[c], id) {
		return
	}
	n.calls[id] = append(n.calls[id], c)
	n.of[c] = append(n.of[c], id)
}

func (n *names) forget(c *Call) {
	for _, id := range n.of[c] {
		left := slices.DeleteFunc(n.calls[id], func(other *Call) bool { return other == c })
		if len(left) == 0 {
			delete(n.calls, id)
		} else {
			n.calls[id] = left
		}
	}
	delete(n.of, c)
}

// addName gives a call that is live another id.
func (r *registry) addName(id string, c *Call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.calls[c.id] == c {
		r.names.add(id, c)
	}
}

// named gives the calls with an id.
func (r *registry) named(id string) []*Call {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if c := r.calls[id]; c != nil {
		return []*Call{c}
	}
	return slices.Clone(r.names.calls[id])
}

// FindNamed gives the live call that has an id: ours, a leg's Call-ID, the
// platform's, or an external one. Its error is ErrUnknownCall or
// ErrSeveralCalls.
func (s *Server) FindNamed(ctx context.Context, id string) (LiveCall, error) {
	calls := s.registry.named(id)
	if len(calls) > 1 {
		return LiveCall{}, ErrSeveralCalls
	}
	if len(calls) == 1 {
		if l, ok := calls[0].ask(ctx); ok {
			return l, nil
		}
	}
	return LiveCall{}, ErrUnknownCall
}

// callerName is the id that a call has by its lead's number while it is with a
// platform of kind vapi.
func callerName(number string) string { return "caller " + number }

// FindCaller gives the live call of a number that is on its way to a platform
// of kind vapi. Its error is ErrUnknownCall or ErrSeveralCalls.
func (s *Server) FindCaller(ctx context.Context, number string) (LiveCall, error) {
	return s.FindNamed(ctx, callerName(number))
}

// asksForCalls says whether any hook asks for calls by ids that are not ours.
func asksForCalls(h *config.Hooks) bool {
	return h.Variables != nil || h.Vapi != nil || h.Synthflow != nil
}

// name gives the call another id, where anybody could ask for it.
func (c *Call) name(id string) {
	if c.server.asked {
		c.server.registry.addName(id, c)
	}
}

// nameByIDs gives the call the ids that it has from its INVITE.
func (c *Call) nameByIDs() {
	if !c.server.asked {
		return
	}
	c.name(c.vars.SIPCallID)
	if c.server.cfg.Hooks.Variables == nil {
		return
	}
	for _, t := range c.server.cfg.Hooks.Variables.IDs {
		id, err := t.Render(c.vars)
		if err != nil {
			c.chat.Warn().Err(err).Str("template", t.String()).Msg("hooks.variables.ids: no id")
			continue
		}
		c.name(strings.TrimSpace(id))
	}
}

// nameOutbound notes the ids that a platform is told by the INVITE to it.
func (c *Call) nameOutbound(invite *sip.Request) {
	if h := invite.GetHeader("X-EI"); h != nil {
		for _, id := range idsIn(h.Value()) {
			c.name(id.Value)
			if id.External {
				c.record.ExternalID = id.Value
			}
		}
	}
	c.name(c.record.TargetSIPCallID)
	if c.attempt.target.cfg.Kind == config.KindVapi {
		c.name(callerName(c.vars.Lead().Number))
	}
}

// PlatformID is an id within X-EI.
type PlatformID struct {
	Value    string
	External bool // it is the caller's, not the platform's
}

// xeiToken is a token of X-EI (Synthflow's page "X-EI SIP header").
var xeiToken = regexp.MustCompile(`^([SEO])\.(.+)$`)

// idsIn reads X-EI: tokens, or one bare value.
func idsIn(xei string) (ids []PlatformID) {
	for part := range strings.SplitSeq(xei, ";") {
		part = strings.TrimSpace(part)
		m := xeiToken.FindStringSubmatch(part)
		switch {
		case part == "":
		case m == nil:
			ids = append(ids, PlatformID{part, true})
		case m[1] != "O": // which is a number
			ids = append(ids, PlatformID{m[2], m[1] == "E"})
		}
	}
	return ids
}

// Headers gives the headers of the carrier's INVITE that patterns name, as for
// a trunk's pass_headers, each with its first value.
func (l LiveCall) Headers(patterns []string) (all []Variable) {
	for _, name := range wanted(patterns, l.headers, nil) {
		i := slices.IndexFunc(l.headers, func(h sip.Header) bool { return strings.EqualFold(fullName(h.Name()), name) })
		if i >= 0 {
			all = append(all, Variable{Name: name, Value: l.headers[i].Value()})
		}
	}
	return all
}
