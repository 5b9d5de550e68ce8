//go:build !race

package outbound

import "testing"

// Making the INVITE to a target with its leg takes few allocations. Half of them are headers, because the library needs
// one object for each.
func TestInviteAllocates(t *testing.T) {
	if n := testing.AllocsPerRun(200, inviteToTarget(t)); n > 40 {
		t.Errorf("%v allocations; want 40 at most", n)
	}
}
