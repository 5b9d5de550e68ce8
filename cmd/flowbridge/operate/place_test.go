package operate

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"flowbridge/admin"
)

// The flags of a placed call are what the server is asked, and the call is followed to its end.
func TestPlace(t *testing.T) {
	f := &fakeServer{}
	file := listening(t, f, admin.Address{TCP: "127.0.0.1:0"})
	place := func(flags ...string) (string, error) {
		c := &cobra.Command{}
		p := PlacingFlags(c)
		if err := c.Flags().Parse(flags); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err := p.Place(t.Context(), &out, file, "+12125550100", "+15075785607", []string{"X-B: c"}, false)
		return out.String(), err
	}
	said, err := place("--via", "carrier", "--target", "agent", "--variable", "a=b", "--key", "k", "--answer-within", "20s")
	if !errors.Is(err, errNotConnected) || !strings.HasPrefix(said, "call done: calling +15075785607 over the trunk carrier\n") {
		t.Errorf("%v, %s", err, said)
	}
	want := admin.Origination{
		ID: f.placed.ID, By: "local", To: "+15075785607", From: "+12125550100", Trunk: "carrier", Target: "agent",
		Variables: map[string]string{"a": "b"}, Headers: map[string]string{"X-B": "c"}, IdempotencyKey: "k", AnswerWithin: 20,
	}
	if !reflect.DeepEqual(f.placed, want) || want.ID == "" {
		t.Errorf("placed %+v; want %+v", f.placed, want)
	}
	if _, err = place("--via", "x"); err == nil || !strings.Contains(err.Error(), "there is no trunk x") {
		t.Errorf("over another trunk: %v", err)
	}
}
