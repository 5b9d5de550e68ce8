package fleet

import (
	"strings"
	"testing"

	"flowbridge/internal/pgtest"
)

// TestWeights: of two nodes that have read the same, the first one decides.
func TestWeights(t *testing.T) {
	url := pgtest.Shared(t).Database()
	one, two := newNode(t, "one"), newNode(t, "two")
	one.join(url, nil)
	two.join(url, nil)
	was, now, err := one.fleet.Weights(t.Context())
	if err != nil || was != "" || now.IsZero() {
		t.Fatalf("at first: %q at %v, %v", was, now, err)
	}
	must(t, one.fleet.SetWeights(t.Context(), was, "first"))
	if err := two.fleet.SetWeights(t.Context(), was, "second"); err == nil || !strings.Contains(err.Error(), "at the same time") {
		t.Errorf("the other node: %v", err)
	}
	if was, _, err = two.fleet.Weights(t.Context()); err != nil || was != "first" {
		t.Errorf("read: %q, %v", was, err)
	}
	must(t, two.fleet.SetWeights(t.Context(), was, "third"))
	if text := pgtest.One[string](t, url, "SELECT states FROM flowbridge_weights"); text != "third" {
		t.Errorf("kept: %s", text)
	}
}
