//go:build !race

package synthflow

import (
	"testing"

	"flowbridge/internal/rest"
)

// A call's own part of its prepare step: the request, the answer's reading and the ids that were given. net/http's is not in it.
func TestPrepareAllocates(t *testing.T) {
	c := newClient(t, rest.Options{Transport: &oneAnswer{}})
	const ofTheAnswer = 5
	n := testing.AllocsPerRun(200, func() {
		if _, err := c.PrepareInbound(t.Context(), sampleRequest); err != nil {
			t.Fatal(err)
		}
	})
	if n > 18+ofTheAnswer {
		t.Errorf("%v allocations; want 18 at most", n-ofTheAnswer)
	}
}
