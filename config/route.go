package config

import (
	"slices"
	"time"

	"flowbridge/config/template"
)

// Route is one entry of `routes`.
type Route struct {
	// The route's name in records, ladders and the table of numbers. Empty: routes[0], by its position.
	Name string `key:"name" is:"route-name"`
	// The trunk whose calls the route takes. Empty: any trunk.
	Trunk string `key:"trunk" is:"trunk"`
	// The target whose own calls and transfers the route takes, and no others. It replaces trunk.
	Target string `key:"target" is:"caller"`
	// A regular expression over the called number: "^\\+1507[0-9]{7}$". Empty: any.
	To *Numbers `key:"to"`
	// The same for the calling number. Empty: any.
	From *Numbers `key:"from"`
	// Whether the route takes only calls to numbers of the table (`numbers`) that name this route or none. Targets in a
	// row replace the route's own. With direction outbound the calling number counts.
	Listed bool `key:"listed" default:"false"`
	// When the route takes calls. Outside these hours it does not match. Empty: always.
	Hours *hours `key:"hours"`
	// Who the customer is: inbound (the caller) or outbound (the called party; a PBX hands the answered call over). Not
	// for routes to trunks or of a target.
	Direction string `key:"direction" enum:"inbound outbound" default:"inbound"`
	// The targets to try, in this order. A route has either targets or trunks.
	Targets []string `key:"targets" is:"target"`
	// The trunks that the call is placed to, in this order. They need a uri.
	Trunks []string `key:"trunks" is:"callee"`
	// The shares of the route's calls for its targets, or trunks: {new: 10, old: 90}. A caller always gets the same one
	// first; the others follow in order. Empty: the first one is tried first.
	Split []Share `key:"split" later:""`
	// Moves the weights of split from targets that callers hear fail to those that serve them well. It needs name.
	Follow *Follow `key:"follow"`
	// When the caller hears ringing: immediate (180 at once), on-target (with the target's 18x), session-progress (183 at
	// once, and ringback until the target's media or answer), none. Default of a browser trunk:
	// session-progress.
	Ringing string `key:"ringing" enum:"immediate on-target none session-progress" default:"immediate"`
	// What the caller hears with session-progress, and while a transfer rings after the agent hung up.
	Ringback string `key:"ringback" is:"sound" default:"us"`
	// What a side hears while the other side holds it and sends nothing.
	Hold string `key:"hold" is:"hold" default:"none"`
	// The SIP status if no target took the call.
	Otherwise int `key:"otherwise" default:"503" min:"400" max:"699" knob:""`
	// Further SIP statuses of a target after which the next one is tried.
	FailoverOn []int `key:"failover_on" min:"300" max:"699" knob:""`
	// How long the whole set-up may take, over all targets.
	SetupTimeout time.Duration `key:"setup_timeout" default:"120s" knob:""`
	// Whether its calls are recorded: off, always, on_demand (when the admin API asks), told (once the
	// statement of tell was said whole, and accepted). It needs the section recording.
	Record Wanted `key:"record" enum:"off always on_demand told" default:"off"`
	// Whether the caller's keys are kept from platform, recordings and logs: off, always, on_demand (the admin API asks).
	MaskDTMF Wanted `key:"mask_dtmf" enum:"off always on_demand" default:"off"`
	// What happens to the caller when the agent's leg dies in mid-call. Without it the call ends.
	Rescue *callRescue `key:"rescue"`
	// What happens to a caller while every target is full. Without it the caller gets otherwise.
	Queue *queue `key:"queue"`
	// The statement that the caller hears, whole, before an agent is connected.
	Tell *Tell `key:"tell"`
	// Moved says when and why split has other weights than the file. It is empty if they are the file's.
	Moved   string
	MovedAt time.Time
	Pinned  bool // an operator has set them
}

func (r *Route) check(s section) {
	r.checkRescue(s)
	r.checkTell(s)
	r.Split = s.shares(slices.Concat(r.Targets, r.Trunks))
	r.checkFollow(s)
	r.ringsForBrowsers(s)
	if r.Listed && s.l.cfg.Numbers == nil && !s.l.root.has("numbers") {
		s.fields["listed"].fail("has no effect without a table of numbers: no call would take the route",
			"name its file in numbers at the top level, or remove it")
	}
	if r.Record != WantedOff && s.l.cfg.Recording.Keep == 0 { // the section is absent
		s.fields["record"].fail("has no effect without the section recording",
			"write recording: {path: …} at the top level, or remove it")
	}
	switch {
	case !s.has("direction") && s.filled("target"):
		r.Direction = template.DirectionOutbound
	case !s.has("direction"):
	case s.filled("target"):
		s.fields["direction"].fail("stands beside target: what a target places is outbound", "remove it")
	case s.elements("trunks") > 0:
		s.fields["direction"].fail("names the customer for a platform, and this route goes to trunks", "remove it")
	}
	if s.filled("trunk") && s.filled("target") {
		s.fields["target"].fail("stands beside trunk: a call comes from one of the two", "keep one of them")
	}
	switch targets, trunks := s.elements("targets"), s.elements("trunks"); {
	case targets > 0 && trunks > 0:
		s.fields["trunks"].fail("stands beside targets", "keep one of the two")
	case trunks == 0 && s.has("targets"):
		s.notEmpty("targets")
	case targets == 0 && s.has("trunks"):
		s.notEmpty("trunks")
	case targets+trunks == 0:
		s.require("targets", "the names of the targets to try, in order, or trunks")
	}
}

// The values of routes[].ringing.
const (
	RingingImmediate       = "immediate"
	RingingOnTarget        = "on-target"
	RingingNone            = "none"
	RingingSessionProgress = "session-progress"
)

// Wanted says when a feature of a route applies to its calls.
type Wanted string

// The values of routes[].record and routes[].mask_dtmf.
const (
	WantedOff      Wanted = "off"
	WantedAlways   Wanted = "always"
	WantedTold     Wanted = "told" // of record only
	wantedOnDemand Wanted = "on_demand"
)

// Unrouted returns the options of a call without a route.
func Unrouted() *Route {
	return &Route{Otherwise: 503, Record: WantedOff, MaskDTMF: WantedOff, Hold: HoldNone, Ringback: "us"}
}
