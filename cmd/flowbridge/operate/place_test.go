package operate

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"flowbridge/admin"
	"flowbridge/store/record"
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
	if strings.Contains(said, "background") { // what the call had before its end, and has no more
		t.Errorf("the end is told as\n%s", said)
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

// An agent is said to be called only when it is: before that it may still be found out who answered.
func TestProgress(t *testing.T) {
	customer, agent := record.Attempt{Target: "carrier", Reason: record.ReasonCustomer, SIPStatus: 200}, record.Attempt{Target: "agent"}
	for _, tt := range []struct {
		want     string
		attempts []record.Attempt
	}{
		{"answered", []record.Attempt{customer}},
		{"answered; calling agent", []record.Attempt{customer, agent}},
		{"connected to agent", []record.Attempt{customer, {Target: "agent", SIPStatus: 200}}},
	} {
		c := admin.Call{Record: record.Record{Target: "agent", AnsweredAt: began, Attempts: tt.attempts}}
		if got := progress(&c); got != tt.want {
			t.Errorf("%+v: got %q; want %q", tt.attempts, got, tt.want)
		}
	}
}
