package admin

import (
	"context"
	"net/http"
)

// Seats takes and moves the seat of a node. The errors say why it can't.
type Seats interface {
	// Take makes a standby take the seat now, even if another node still holds the lease.
	Take(ctx context.Context, seat string) error
	// Move leaves the seat to another node, which takes it once it has the addresses.
	Move(ctx context.Context, seat, to string) (SeatMoved, error)
}

// SeatMoved is the answer to a move.
type SeatMoved struct {
	// Calls is how many answered calls were moved.
	Calls int `json:"calls"`
	// PauseMS is how long messages were not handled while the seat was being left.
	PauseMS int64 `json:"pause_ms"`
}

// seatRequest is the body of both requests.
type seatRequest struct {
	Seat string `json:"seat"`
	To   string `json:"to,omitempty"`
}

func (a *api) serveSeats(mux *router) {
	take, move := a.takeSeat, a.moveSeat
	if a.Seats == nil {
		take, move = a.noSeat, a.noSeat
	}
	mux.HandleFunc("/api/seat/take", a.operate(take))
	mux.HandleFunc("/api/seat/move", a.operate(move))
}

func (a *api) noSeat(w http.ResponseWriter, _ *http.Request) {
	a.fail(w, http.StatusConflict, "this node has no seat", "write fleet.takeover.seat into its configuration; flowbridge help fleet says how")
}

func (a *api) takeSeat(w http.ResponseWriter, r *http.Request) {
	var body seatRequest
	if !a.body(w, r, &body, `send {"seat": "NAME"}`) {
		return
	}
	if err := a.Seats.Take(r.Context(), body.Seat); err != nil {
		a.fail(w, http.StatusConflict, "not taken: "+err.Error(), "see flowbridge fleet")
		return
	}
	a.write(w, http.StatusOK, struct{}{})
}

func (a *api) moveSeat(w http.ResponseWriter, r *http.Request) {
	var body seatRequest
	if !a.body(w, r, &body, `send {"seat": "NAME", "to": "NODE"}`) {
		return
	}
	moved, err := a.Seats.Move(r.Context(), body.Seat, body.To)
	if err != nil {
		a.fail(w, http.StatusConflict, "not moved: "+err.Error(), "this node goes on; see flowbridge fleet")
		return
	}
	a.write(w, http.StatusOK, moved)
}
