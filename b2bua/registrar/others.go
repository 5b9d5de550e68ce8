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
	// KeepBindings tells the other nodes the bindings of a holder at this node. Recently removed ones are among them, as
	// bindings without an end, which replace older ones at other nodes. It does not block.
	KeepBindings(holder string, all []record.Binding)
	// Bindings returns the bindings at other nodes.
	Bindings(ctx context.Context, holder string) ([]record.Binding, error)
}

// maxMerged bounds the bindings of a holder, over all nodes, that are considered: the newest ones.
const maxMerged = 3 * mostContacts

// noteRemoved stores the removals of a REGISTER for as long as an older binding may last, because a phone that uses
// nodes in turn may have one at another node. The lock is held.
func (r *Registrar) noteRemoved(now time.Time, q *Request) {
	all := slices.DeleteFunc(slices.Concat(r.recentlyRemoved[q.Holder], q.removed), func(b record.Binding) bool {
		return now.Sub(b.Registered) >= maxExpires
	})
	r.recentlyRemoved[q.Holder] = all[max(0, len(all)-mostContacts):]
	if len(all) == 0 {
		delete(r.recentlyRemoved, q.Holder)
	}
}

// Elsewhere returns the bindings of a holder at other nodes, the best first. For one Contact or device, the last
// REGISTER counts, whichever node has accepted it. A user agent numbers its REGISTERs (RFC 3261 section 10.3, step 7).
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

// isSame reports whether two bindings belong to the same Contact or device.
func isSame(a, b *record.Binding) bool {
	one, other := message.ParseURI(a.Contact), message.ParseURI(b.Contact)
	return message.SameURI(&one, &other) || a.Instance != "" && a.Instance == b.Instance
}
