package fleet

import (
	"context"
	"slices"
	"time"
)

// Overview describes a fleet.
type Overview struct {
	Nodes []NodeSeen `json:"nodes"`
	Seats []SeatSeen `json:"seats"`
	// NumbersDiffer says that live nodes have different tables of numbers.
	NumbersDiffer bool `json:"numbers_differ"`
	// SecretsDiffer lists the seats whose live nodes have different secrets.
	SecretsDiffer []string `json:"secrets_differ"`
}

// The states of nodes.
const (
	NodeLive     = "live"
	NodeStandby  = "standby"
	NodeVanished = "vanished"
)

// NodeSeen is a node of an Overview.
type NodeSeen struct {
	Node    string `json:"node"`
	Version string `json:"version"`
	SeenMS  int64  `json:"seen_ms"` // age of the last heartbeat
	State   string `json:"state"`
	Live    bool   `json:"live"` // the last heartbeat is recent; true for a standby, too
	// Seat is the seat that the node has or stands by for. It may be empty.
	Seat string `json:"seat"`
	// Part is the node's part of the caps: the 1st, 2nd … of Of. It is 0 if the node has none, or if each node has its
	// own caps.
	Part int `json:"part"`
	Of   int `json:"of"`
	// API is the URL at which other nodes reach the node's admin API. It is empty if they can't.
	API string `json:"api"`
	// Numbers is Member.Numbers.
	Numbers string `json:"numbers"`
}

// The states of a seat's lease.
const (
	LeaseHeld   = "held"
	LeaseLapsed = "lapsed"
	LeaseLeft   = "left" // the owner has given it up
)

// SeatSeen is a seat of an Overview.
type SeatSeen struct {
	Seat  string    `json:"seat"`
	Node  string    `json:"node"`
	Epoch int64     `json:"epoch"`
	Since time.Time `json:"since"`
	Lease string    `json:"lease"`
	// RenewedMS is how long ago the lease was renewed. It is 0 if the owner has given it up.
	RenewedMS   int64 `json:"renewed_ms"`
	Protected   int   `json:"protected"`
	Unprotected int   `json:"unprotected"`
}

// Overview returns the nodes in the order of their names, and the seats. caps says that the nodes share the caps. The
// error is an AwayError.
func (r *Reader) Overview(ctx context.Context, caps bool) (*Overview, error) {
	members, err := r.Members(ctx)
	if err != nil {
		return nil, err
	}
	owners, err := r.Seats(ctx)
	if err != nil {
		return nil, err
	}
	return overviewOf(members, owners, caps), nil
}

func overviewOf(members []Member, owners []Owner, caps bool) *Overview {
	o := &Overview{
		Nodes: make([]NodeSeen, len(members)), Seats: make([]SeatSeen, len(owners)), SecretsDiffer: []string{},
	}
	live, part, numbers, secrets := len(sharing(Live(members), "")), 0, "", map[string]string{}
	for i, m := range members {
		n := &o.Nodes[i]
		*n = NodeSeen{
			Node: m.Name, Version: m.Version, SeenMS: max(0, m.Age.Milliseconds()), State: NodeVanished, Live: m.Live(),
			Seat: m.Seat, API: m.API, Numbers: m.Numbers,
		}
		if !m.Live() {
			continue
		}
		n.State = NodeLive
		if m.Standby {
			n.State = NodeStandby
		} else if caps && m.Spare == "" {
			part++
			n.Part, n.Of = part, live
		}
		if m.Numbers != "" {
			o.NumbersDiffer = o.NumbersDiffer || numbers != "" && m.Numbers != numbers
			numbers = m.Numbers
		}
		if m.SeatKey == "" {
			continue
		}
		if other := secrets[m.Seat]; other != "" && other != m.SeatKey && !slices.Contains(o.SecretsDiffer, m.Seat) {
			o.SecretsDiffer = append(o.SecretsDiffer, m.Seat)
		}
		secrets[m.Seat] = m.SeatKey
	}
	for i := range owners {
		o.Seats[i] = seenOf(&owners[i])
	}
	return o
}

// leftFor is the minimum age of a lease that was given up: Leave sets its time to the epoch.
const leftFor = 365 * 24 * time.Hour

func seenOf(o *Owner) SeatSeen {
	s := SeatSeen{
		Seat: o.Seat, Node: o.Node, Epoch: o.Epoch, Since: o.Since.UTC(), Lease: LeaseLapsed,
		RenewedMS: max(0, o.Unseen.Milliseconds()), Protected: o.Calls, Unprotected: o.Unprotected,
	}
	switch {
	case o.Holds():
		s.Lease = LeaseHeld
	case o.Unseen > leftFor:
		s.Lease, s.RenewedMS = LeaseLeft, 0
	}
	return s
}
