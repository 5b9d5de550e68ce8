package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
)

// fakeSeats has one seat, east, and a standby for it, b.
type fakeSeats struct{}

var errFake = errors.New("this node has another seat: east")

func (fakeSeats) Take(_ context.Context, seat string) error {
	if seat != "east" {
		return errFake
	}
	return nil
}

func (fakeSeats) Move(_ context.Context, seat, to string) (SeatMoved, error) {
	if seat != "east" || to != "b" {
		return SeatMoved{}, errFake
	}
	return SeatMoved{Calls: 3, PauseMS: 20}, nil
}

// A seat is taken and moved by POST; what is wrong with a request, or stands in its way, is said.
func TestSeats(t *testing.T) {
	opts, _ := fixture()
	opts.Seats = fakeSeats{}
	h := New(opts)
	for _, tt := range []struct {
		path, body string
		status     int
		says       string
	}{
		{"take", `{"seat": "east"}`, http.StatusOK, "{}"},
		{"take", `{"seat": "west"}`, http.StatusConflict, "another seat: east"},
		{"take", `{"place": "east"}`, http.StatusBadRequest, "a field that is not known"},
		{"move", `{"seat": "east", "to": "b"}`, http.StatusOK, `"calls":3`},
		{"move", `{"seat": "east"}`, http.StatusConflict, "this node goes on"},
		{"move", ``, http.StatusBadRequest, "the body is empty"},
	} {
		res, text := post(t, h, "/api/seat/"+tt.path, tt.body)
		if res.StatusCode != tt.status || !strings.Contains(strings.ReplaceAll(text, ": ", ":"), strings.ReplaceAll(tt.says, ": ", ":")) {
			t.Errorf("%s %s: %d %s", tt.path, tt.body, res.StatusCode, text)
		}
	}
}

// A node without a seat says so, and how it gets one.
func TestNoSeat(t *testing.T) {
	opts, _ := fixture()
	h := New(opts)
	for _, path := range []string{"take", "move"} {
		res, text := post(t, h, "/api/seat/"+path, `{"seat": "east", "to": "b"}`)
		says := strings.Contains(text, "no seat") && strings.Contains(text, "fleet.takeover.seat")
		if res.StatusCode != http.StatusConflict || !says {
			t.Errorf("%s: %d %s; want 409 and the key", path, res.StatusCode, text)
		}
	}
}
