package outbound

import (
	"errors"
	"fmt"
	"slices"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/peers"
	"flowbridge/config"
)

// errInviteTooLarge means that an INVITE exceeds the target's budget even without all
// optional headers and parts.
var errInviteTooLarge = errors.New("INVITE is over the target's budget")

// Measure holds the sizes of an INVITE that a budget limits.
type Measure struct {
	size    int // bytes of the INVITE on the wire
	value   int // bytes of the longest value of a configured or passed header
	headers int // number of configured and passed header lines
}

// Budget limits the sizes of an INVITE over UDP.
type Budget struct{ Size, Value, Headers int }

// BudgetOf returns the budget for calls to a target. Longer or more headers than its Value and Headers are a sign
// that something is wrong.
func BudgetOf(t *peers.Dial) Budget { return Budget{Size: t.Budget.Size, Value: 512, Headers: 24} }

// OverBudget reports whether an INVITE of these sizes exceeds the target's budget for UDP (RFC 3261 section 18.1.1).
// Over TCP and TLS there is no budget.
func OverBudget(t *peers.Dial, m Measure) bool {
	b := BudgetOf(t)
	return !message.IsStream(t.Transport) && (m.size > b.Size || m.value > b.Value || m.headers > b.Headers)
}

// TypicalCredentials is the usual size in bytes of the credentials that are added to an INVITE after a challenge.
// The target's challenge determines most of it.
const TypicalCredentials = 300

// CredentialsSize returns how many bytes to reserve for credentials in an INVITE. An INVITE that may go over TCP
// reserves them, because the transport is chosen before the target asks for credentials. An INVITE that stays on
// UDP makes room only when it is challenged.
func CredentialsSize(t *peers.Dial) int {
	if t.Auth == nil || t.Overflow != config.OverflowTCP {
		return 0
	}
	return TypicalCredentials
}

// Measure returns the sizes of the draft's INVITE. size is its size on the wire.
func (o *Draft) Measure(size int) Measure {
	m := Measure{size: size}
	for _, fields := range [][]Field{o.configured, o.passed} {
		for _, f := range fields {
			m.headers += len(f.Values)
			m.value = max(m.value, longest(f))
		}
	}
	return m
}

// Trim drops headers until the INVITE is within the budget: first headers with too long a value, then passed
// headers, then configured headers, and then those of our own that calls can do without. In each of these lists
// the last header is dropped first. size returns the INVITE's size without the dropped headers.
func (o *Draft) Trim(b Budget, size func() int) error {
	tooLong := func(f Field) bool { return !f.Kept && longest(f) > b.Value }
	for _, list := range []*[]Field{&o.passed, &o.configured} {
		for i, f := range slices.Backward(*list) {
			if tooLong(f) {
				o.dropAt(list, i)
			}
		}
	}
	for o.Measure(0).headers > b.Headers {
		if !o.dropLast(&o.passed) && !o.dropLast(&o.configured) {
			break
		}
	}
	for n := size(); n > b.Size; n = size() {
		if !o.dropLast(&o.passed) && !o.dropLast(&o.configured) && !o.dropLast(&o.own) {
			return fmt.Errorf("%w: %d bytes of %d", errInviteTooLarge, n, b.Size)
		}
	}
	return nil
}

// dropLast drops the last optional header of a list, and reports whether there was one.
func (o *Draft) dropLast(list *[]Field) bool {
	for i, f := range slices.Backward(*list) {
		if !f.Kept {
			o.dropAt(list, i)
			return true
		}
	}
	return false
}

func (o *Draft) dropAt(list *[]Field, i int) {
	o.drop((*list)[i].Name)
	*list = slices.Delete(*list, i, i+1)
}

func longest(f Field) (n int) {
	for _, v := range f.Values {
		n = max(n, len(v))
	}
	return n
}
