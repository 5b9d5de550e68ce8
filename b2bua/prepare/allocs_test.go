//go:build !race

package prepare

import (
	"testing"

	"flowbridge/internal/rest"
)

// A prepare step takes few allocations for making the request, reading the answer and storing its id. Those of net/http
// are not counted.
func TestPrepareAllocates(t *testing.T) {
	c, of := newClient(t, rest.Options{Transport: &oneAnswer{}}).Client, targetOf(t, "http://127.0.0.1:1")
	const ofTheAnswer = 5
	n := testing.AllocsPerRun(200, func() {
		once(t, c, of)
	})
	if n > 18+ofTheAnswer {
		t.Errorf("%v allocations; want 18 at most", n-ofTheAnswer)
	}
}
