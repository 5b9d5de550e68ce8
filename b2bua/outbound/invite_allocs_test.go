//go:build !race

package outbound

import "testing"

// The INVITE to a target with its leg: half of these are the headers, which the library takes as one object each.
func TestInviteAllocates(t *testing.T) {
	if n := testing.AllocsPerRun(200, inviteToTarget(t)); n > 42 {
		t.Errorf("%v allocations; want 42 at most", n)
	}
}
