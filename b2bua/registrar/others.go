package registrar

import (
	"cmp"
	"context"
	"slices"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/store/record"
)

// Others are the other nodes of a fleet.
type Others interface {
	// KeepBindings tells the other nodes which bindings this node has for a holder. The list includes recently removed
	// bindings, without an expiry, which replace older bindings at other nodes. KeepBindings does not block.
	KeepBindings(holder string, all []record.Binding)
	// Bindings returns the bindings that other nodes have for a holder.
	Bindings(ctx context.Context, holder string) ([]record.Binding, error)
}

// maxMerged is how many bindings of a holder, the newest of all nodes, Elsewhere considers.
const maxMerged = 3 * mostContacts

// noteRemoved remembers which bindings a REGISTER has removed, for as long as an older binding may last, because a
// phone that uses several nodes may have one at another node. The caller must hold r.mu.
func (r *Registrar) noteRemoved(now time.Time, q *Request) {
	all := slices.DeleteFunc(slices.Concat(r.recentlyRemoved[q.Holder], q.removed), func(b record.Binding) bool {
		return now.Sub(b.Registered) >= maxExpires
	})
	r.recentlyRemoved[q.Holder] = all[max(0, len(all)-mostContacts):]
	if len(all) == 0 {
		delete(r.recentlyRemoved, q.Holder)
	}
}

// Elsewhere returns the bindings of a holder at other nodes, best first. For one Contact or device, the last REGISTER
// counts, whichever node has accepted it: by CSeq if the Call-ID is the same (RFC 3261 section 10.3, step 7),
// otherwise by time.
func (r *Registrar) Elsewhere(ctx context.Context, holder string) (left []record.Binding, err error) {
	if r.others == nil {
		return nil, nil
	}
	all, err := r.others.Bindings(ctx, holder)
	r.mu.Lock()
	all = slices.Concat(r.of[holder], r.recentlyRemoved[holder], all)
	r.mu.Unlock()
	slices.SortStableFunc(all, func(a, b record.Binding) int {
		if a.CallID == b.CallID && a.CSeq != b.CSeq {
			return cmp.Compare(b.CSeq, a.CSeq)
		}
		return b.Registered.Compare(a.Registered)
	})
	for _, b := range all[:min(len(all), maxMerged)] {
		newer := func(o record.Binding) bool { return o.Contact == "*" || isSame(&o, &b) }
		if !slices.ContainsFunc(left, newer) {
			left = append(left, b)
		}
	}
	return slices.DeleteFunc(best(left), func(b record.Binding) bool {
		return b.Node == "" || !time.Now().Before(b.Expires)
	}), err
}

// isSame reports whether two bindings have the same Contact or belong to the same device.
func isSame(a, b *record.Binding) bool {
	one, other := message.ParseURI(a.Contact), message.ParseURI(b.Contact)
	return message.SameURI(&one, &other) || a.Instance != "" && a.Instance == b.Instance
}
