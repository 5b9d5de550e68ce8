package telemetry

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"flowbridge/telemetry/live"
)

// Gauges is a snapshot of figures that are counted in other packages.
type Gauges struct {
	Node    live.Node
	Active  map[live.Active]int
	Targets []live.Target
	// Trunks has the trunks with their open calls and caps.
	Trunks []live.Peer
	// SIP counts the messages so far.
	SIP []SIPCount
	// RTP counts the packets so far, by leg: a and b.
	RTP map[string]RTPCount
	// Streams counts the streams that are being relayed, by path: kernel or userspace. A call has one for each direction.
	Streams map[string]int
	Panics  uint64
	// Troubles lists what is not well.
	Troubles []live.Trouble
	// More adds the figures of the node's other parts.
	More func(Add)
}

// Add adds one figure. Its name has no prefix. If the name ends with _total, it is a counter. labels are pairs of a
// name and a value, from closed sets or the configuration.
type Add func(name, help string, value float64, labels ...string)

// SIPCount counts messages of one kind. A request has a method, a response has a status.
type SIPCount struct {
	Received bool
	Method   string
	Status   int
	N        uint64
}

// RTPCount counts the packets and bytes of a leg.
type RTPCount struct {
	RxPackets, RxBytes, TxPackets, TxBytes uint64
	Dropped                                map[string]uint64 // dropped packets by reason
}

// gauges collects Gauges.
type gauges struct {
	options Options

	mu   sync.Mutex // guards the fields below
	seen map[live.Active]bool
}

// Describe sends no descriptions, because which metrics there are depends on the node's parts.
func (*gauges) Describe(chan<- *prometheus.Desc) {}

// Collect sends the current figures.
func (c *gauges) Collect(out chan<- prometheus.Metric) {
	g := c.options.Gauges()
	add := adding(out)
	add("build_info", "The version that runs.", 1, "version", c.options.Version, "revision", c.options.Revision)
	c.calls(add, &g)
	c.targets(add, &g)
	messages(add, &g)
	for _, k := range live.TroubleKinds() {
		n := 0
		for _, t := range g.Troubles {
			if t.Code == k.Code {
				n++
			}
		}
		add("troubles", "How many entries of a kind the list of what is not well has (docs/runbook.md).", float64(n), "code", k.Code)
	}
	add("draining", "Whether new calls are refused because the process is to end.", OneIf(g.Node.Draining))
	add("unwritten_records", "Records of ended calls that are not in the database yet.", float64(g.Node.Unwritten))
	add("panics_recovered_total", "Faults of Flowbridge that ended a call, and not the process.", float64(g.Panics))
	g.More(add)
}

func (c *gauges) calls(add Add, g *Gauges) {
	sums := map[live.Active]int{}
	c.mu.Lock()
	for a := range c.seen { // send zeros for these, so that a graph returns to 0
		sums[a] = 0
	}
	c.mu.Unlock()
	for a, n := range g.Active {
		sums[live.Active{Trunk: c.options.label(a.Trunk), Target: c.options.label(a.Target), Phase: a.Phase}] += n
	}
	c.mu.Lock()
	for a := range sums {
		c.seen[a] = true
	}
	c.mu.Unlock()
	for a, n := range sums {
		add("calls_active", "Live calls: preparing, queued (they wait for a place at a target), dialing or bridged.",
			float64(n), "trunk", a.Trunk, "target", a.Target, "phase", a.Phase)
	}
	add("calls_open", "Calls that are live, or whose record is not in the database yet.", float64(g.Node.Calls))
	add("calls_limit", "How many calls the RTP ports are enough for.", float64(g.Node.Limit))
	for _, t := range g.Trunks {
		add("trunk_calls", "Open calls that count for the cap of a trunk.", float64(t.Calls), "trunk", t.Name)
		add("trunk_calls_limit", "The cap of a trunk, max_calls, or this node's part of it. 0: none.", float64(t.MaxCalls), "trunk", t.Name)
	}
	add("rtp_ports_in_use", "Pairs of an RTP and an RTCP port that calls have. A call has two.",
		float64(g.Node.Ports.InUse))
	add("rtp_ports_limit", "Pairs of an RTP and an RTCP port of media.ports.", float64(g.Node.Ports.Limit))
	for path, n := range g.Streams {
		add("media_streams", "RTP streams that are relayed, one for each direction of a call, by what carries them.",
			float64(n), "path", path)
	}
}

func (*gauges) targets(add Add, g *Gauges) {
	for i := range g.Targets {
		t := &g.Targets[i]
		add("target_calls", "Open calls that count for the cap of a target.", float64(t.Calls), "target", t.Name)
		add("target_calls_limit", "The cap of a target, max_calls, or this node's part of it. 0: none.", float64(t.MaxCalls), "target", t.Name)
		for _, health := range live.Healths() {
			add("target_health",
				"1 for the health that a target has: ok, failing (most of its last five attempts failed for a reason of its own), refusing (ten or more in a row had no answer, and the same status or cause), idle (none in five minutes) or unknown (the same, and the last one failed).",
				OneIf(t.Health == health), "target", t.Name, "health", health)
		}
		for _, s := range t.Shares {
			add("split_weight", "The percent of a route's calls that its split gives to a target first.",
				100*float64(s.Weight)/float64(max(s.Of, 1)), "route", s.Route, "target", t.Name)
		}
		for _, b := range t.Circuits {
			add("circuit_state",
				"The circuit of a target, of its SIP side (sip) or its API (api): 0 closed, 1 half open (one call tries it), 2 open (it is out of use).",
				float64(slices.Index([]string{live.CircuitClosed, live.CircuitHalfOpen, live.CircuitOpen}, b.State)), "target",
				t.Name, "of", b.Of)
			add("circuit_opened_total", "How often the circuit of a target opened.", float64(b.Opened), "target",
				t.Name, "of", b.Of)
			add("circuit_refused_total", "Attempts at a target that its circuit refused.", float64(b.Refused), "target",
				t.Name, "of", b.Of)
		}
		states := map[string]int{live.AddressOK: 0, live.AddressAvoided: 0}
		for _, a := range t.Addresses {
			states[a.State]++
		}
		for state, n := range states {
			add("target_addresses",
				"Addresses that a target's host name led calls to, by what calls found: ok, or avoided because they failed.",
				float64(n), "target", t.Name, "state", state)
		}
	}
}

func messages(add Add, g *Gauges) {
	for _, c := range g.SIP {
		code, direction := "", "out"
		if c.Status > 0 {
			code = strconv.Itoa(c.Status)
		}
		if c.Received {
			direction = "in"
		}
		add("sip_messages_total",
			"SIP messages, retransmissions included: requests by method, responses by code. Messages that were refused before the parser are not in it.",
			float64(c.N), "direction", direction, "method", c.Method, "code", code)
	}
	for reason, n := range g.Node.Rejected {
		add("sip_rejected_total", "SIP messages that were refused before they became a call, by the reason in the log.",
			float64(n), "reason", reason)
	}
	for leg, c := range g.RTP {
		for direction, n := range map[string][2]uint64{"in": {c.RxPackets, c.RxBytes}, "out": {c.TxPackets, c.TxBytes}} {
			add("rtp_packets_total", "RTP packets received from a leg and sent to it, of live calls, too.", float64(n[0]),
				"leg", leg, "direction", direction)
			add("rtp_bytes_total", "The same in bytes, with RTP headers, without UDP and IP.", float64(n[1]), "leg", leg,
				"direction", direction)
		}
		for reason, n := range c.Dropped {
			add("rtp_dropped_packets_total",
				"RTP and RTCP packets from a leg that were not passed on, by the reasons of docs/causes.md.", float64(n), "leg",
				leg, "reason", reason)
		}
	}
}

// adding returns an Add that turns figures into metrics.
func adding(out chan<- prometheus.Metric) Add {
	return func(name, help string, value float64, labels ...string) {
		kind := prometheus.GaugeValue
		if strings.HasSuffix(name, "_total") {
			kind = prometheus.CounterValue
		}
		var names, values []string
		for i := 0; i+1 < len(labels); i += 2 {
			names, values = append(names, labels[i]), append(values, strings.ToValidUTF8(labels[i+1], "?"))
		}
		desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, "", name), help, names, nil)
		m, err := prometheus.NewConstMetric(desc, kind, value, values...)
		if err != nil {
			m = prometheus.NewInvalidMetric(desc, err)
		}
		out <- m
	}
}

// OneIf returns 1 for true and 0 for false.
func OneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
