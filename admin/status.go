package admin

import (
	"flowbridge/store/record"
	"flowbridge/telemetry/live"
)

// Status is a node at a glance, as returned by GET /api/status.
type Status struct {
	Node      string      `json:"node"`
	Version   string      `json:"version"`
	StartedAt record.Time `json:"started_at"`
	// Standby says for which seat the node stands by, and who has it. It is empty for a node that takes calls.
	Standby string `json:"standby"`
	// Ready says that /readyz answers 200.
	Ready    bool           `json:"ready"`
	Troubles []live.Trouble `json:"troubles"`
	// Calls are the live calls. Answered and Decided are as in live.Stats, of the last five minutes.
	Calls    live.Capacity `json:"calls"`
	Phases   live.Phases   `json:"phases"`
	Answered uint64        `json:"answered"`
	Decided  uint64        `json:"decided"`
	Targets  []StatusPeer  `json:"targets"`
	Trunks   []StatusPeer  `json:"trunks"`
	// DiskFree and DiskSize are bytes of the disk with store.path; 0 if not known.
	DiskFree uint64 `json:"disk_free"`
	DiskSize uint64 `json:"disk_size"`
	// Certificate is the certificate shown to peers that ends first; nil if there is none to show.
	Certificate *StatusCertificate `json:"certificate"`
	// Registrations counts the trunks that register elsewhere; nil if none does.
	Registrations *StatusRegistrations `json:"registrations"`
	// Fleet is nil if the node is in no fleet.
	Fleet *StatusFleet `json:"fleet"`
}

// StatusPeer is a target or trunk of a Status. Health is empty for a trunk.
type StatusPeer struct {
	Name     string `json:"name"`
	Health   string `json:"health,omitempty"`
	Calls    int    `json:"calls"`
	MaxCalls int    `json:"max_calls"`
}

// StatusCertificate is a certificate of a Status. EndsAt is null if there is none yet.
type StatusCertificate struct {
	File   string      `json:"file"`
	EndsAt record.Time `json:"ends_at"`
}

// StatusRegistrations counts registrations.
type StatusRegistrations struct {
	Up  int `json:"up"`
	All int `json:"all"`
}

// StatusFleet is the fleet of a Status.
type StatusFleet struct {
	Nodes    int    `json:"nodes"`
	Vanished int    `json:"vanished"`
	Reached  bool   `json:"reached"`
	Seat     string `json:"seat,omitempty"`
}
