//go:build !race

package outbound

import "testing"

// The INVITE to a target with its leg: half of the allocations are the headers, because the library needs one object
// for each.
func TestInviteAllocates(t *testing.T) {
	if n := testing.AllocsPerRun(200, inviteToTarget(t)); n > 40 {
		t.Errorf("%v allocations; want 40 at most", n)
	}
}
