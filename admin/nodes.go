package admin

import (
	"context"
	"net/http"
	"regexp"
	"slices"

	"flowbridge/store/record"
)

// Nodes provides the other nodes of the fleet, according to the fleet's database. Its errors say what
// to do.
type Nodes interface {
	// Overview returns the nodes and seats. The result marshals to JSON.
	Overview(ctx context.Context) (any, error)
	// Live returns the live calls of other nodes. hidden counts further calls that this node can't read.
	Live(ctx context.Context) (calls []Call, hidden int, err error)
	// Find returns the live call of another node with the given id.
	Find(ctx context.Context, id string) (Call, bool, error)
	// Where returns the location of a node.
	Where(ctx context.Context, node string) (Where, error)
}

// Where is the location of a node.
type Where struct {
	// Own says that the node is this one.
	Own bool
	// There says that the database has recently heard from the node.
	There bool
	// API is the address of the node's admin API, like http://203.0.113.5:8080. It may be empty.
	API string
	// Unproven says that only the database vouches for the address, so tokens must not be sent there.
	Unproven bool
}

// fleet shows the nodes and seats.
func (a *api) fleet(w http.ResponseWriter, r *http.Request) {
	all, err := a.Nodes.Overview(r.Context())
	if err != nil {
		a.fleetAway(w, r, &fleetError{err}, "calls go on; /readyz and /metrics say how this node is")
		return
	}
	a.write(w, http.StatusOK, all)
}

// fleetCalls lists the live calls of this node and of all seats.
func (a *api) fleetCalls(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Get("ids") != "" {
		a.fail(w, http.StatusBadRequest, "ids and fleet are given together", "leave one of them out")
		return
	}
	others, hidden, err := a.Nodes.Live(r.Context())
	if err != nil {
		a.fleetAway(w, r, &fleetError{err}, "leave fleet out for the calls of this node")
		return
	}
	live := append([]Call{}, a.Calls.Live(r.Context())...)
	own := map[string]bool{}
	for i := range live {
		own[live[i].ID] = true
	}
	for i := range others {
		if !own[others[i].ID] {
			live = append(live, others[i])
		}
	}
	a.write(w, http.StatusOK, page[Call]{Items: listed(live), Hidden: &hidden})
}

// findElsewhere finds another node's call, finished or live. Its errors are fleetErrors.
func (a *api) findElsewhere(ctx context.Context, id string) (c Call, ok bool, err error) {
	if a.Fleet != nil {
		records := fleetRecords{a.Fleet}
		c.Phase = phaseEnded
		if c.Record, ok, err = records.Get(ctx, id); !ok && err == nil {
			c, ok, err = finished(ctx, records, id)
		}
		if ok || err != nil {
			return c, ok, err
		}
	}
	if a.Nodes != nil {
		if c, ok, err = a.Nodes.Find(ctx, id); err != nil {
			err = &fleetError{err}
		}
	}
	return c, ok, err
}

// recordedCall finds the id of a call in the name of its recording.
var recordedCall = regexp.MustCompile(`^\d{4}/\d\d/\d\d/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-\d{1,4})?\.[a-z]{1,8}$`)

// recordedElsewhere answers a request for another node's recording. It reports whether it did.
func (a *api) recordedElsewhere(w http.ResponseWriter, r *http.Request, name string) bool {
	m := recordedCall.FindStringSubmatch(name)
	if m == nil {
		return false
	}
	c, ok, err := a.findElsewhere(r.Context(), m[1])
	if a.fleetAway(w, r, err, "it is no recording of this node; ask again later, or another node") {
		return true
	}
	named := func(one record.Recording) bool { return one.File == name }
	return ok && slices.ContainsFunc(c.Recordings, named) && a.elsewhere(w, r, c.Node)
}
