package live

import (
	"maps"
	"math"
	"time"

	"flowbridge/store/record"
)

// Stats are the figures of a node, as returned by GET /api/stats.
type Stats struct {
	At record.Time `json:"at"`
	// Calls counts live calls: it is the sum of Phases. Calls that ended while the disk takes no records count only in
	// Unwritten.
	Calls    int    `json:"calls"`
	Phases   Phases `json:"phases"`
	Draining bool   `json:"draining"`
	// CallsPerSecond is the average rate of new calls in the last ten seconds.
	CallsPerSecond float64 `json:"calls_per_second"`
	// WindowS is how far back the other figures go, in seconds.
	WindowS int `json:"window_s"`
	// Ended counts the calls that ended. Answered counts the callers' calls that were answered. Decided counts these and
	// the calls that ended without an answer and were not interrupted, so that a call counts once, as soon as its result
	// is known. AnswerRatio is Answered divided by Decided, or nil if Decided is 0. Calls that we place count in none of
	// these three.
	Ended       uint64   `json:"ended"`
	Answered    uint64   `json:"answered"`
	Decided     uint64   `json:"decided"`
	AnswerRatio *float64 `json:"answer_ratio"`
	// PostDialDelay is the time from the INVITE to the caller's first 18x or 200 (RFC 6076 section 4.3). Setup is the time
	// to the 200.
	PostDialDelay *Percentiles `json:"post_dial_delay_ms"`
	Prepare       *Percentiles `json:"prepare_ms"`
	Setup         *Percentiles `json:"setup_ms"`
	// Loss, Jitter and MOS include the calls that are up. Loss is the share of both sides' packets that did not arrive, or
	// too late to be heard; it is nil if there were no packets.
	Loss *float64 `json:"loss"`
	// LossHere is the part of Loss that reached this machine, which did not read it in time.
	LossHere *float64     `json:"-"`
	Jitter   *Percentiles `json:"jitter_ms"`
	MOS      *MOS         `json:"mos"`
	Ports    Ports        `json:"ports"`
	Media    Media        `json:"media"`
	// Capacity is the maximum number of calls that the process takes, limited by its ports.
	Capacity Capacity `json:"capacity"`
	// Unwritten counts the records of ended calls that wait for the disk.
	Unwritten int `json:"unwritten"`
	// Certificate is what is wrong with the validity of a certificate shown to peers. It is empty if all are valid for 14
	// days or more.
	Certificate string `json:"certificate"`
	// Rejected counts requests that were refused before they became a call. Causes counts the calls that ended. Both are
	// by reason.
	Rejected map[string]uint64 `json:"rejected"`
	Causes   map[string]uint64 `json:"causes"`
	// Changes counts the events since the start, which the history has.
	Changes int64   `json:"changes"`
	Machine Machine `json:"machine"`
	// Suffering says what answered calls of the window suffered, for Troubles.
	Suffering []Suffering `json:"-"`
	// Troubles lists what is not well, the most urgent first.
	Troubles []Trouble `json:"troubles"`
}

// Machine says how the process and its machine are. A figure that can't be read is 0.
type Machine struct {
	StartedAt record.Time `json:"started_at"`
	CPU       float64     `json:"cpu"`    // how many of its CPUs the process has used lately
	CPUs      float64     `json:"cpus"`   // how many the process may use: those of the machine, or its cgroup's quota
	NoCPU     string      `json:"no_cpu"` // for how much of the last minute calls had none, and why; empty if they had
	Memory    uint64      `json:"memory"` // bytes of the Go runtime
	DiskFree  uint64      `json:"disk_free"`
	DiskSize  uint64      `json:"disk_size"` // bytes of the disk with store.path
}

// Phases count live calls.
type Phases struct {
	Preparing int `json:"preparing"`
	// Queued counts the callers that wait for a place at a target.
	Queued  int `json:"queued"`
	Dialing int `json:"dialing"`
	Bridged int `json:"bridged"`
}

// Percentiles are the values that half, 95 % and 99 % of the measured values do not exceed.
type Percentiles struct {
	P50 float64 `json:"p50"`
	P95 float64 `json:"p95"`
	P99 float64 `json:"p99"`
}

// MOS is the median of the calls' quality, and the value that 5 % of the calls do not exceed.
type MOS struct {
	P50 float64 `json:"p50"`
	P5  float64 `json:"p5"`
}

// Ports counts pairs of an RTP and an RTCP port. A call uses two pairs.
type Ports struct {
	InUse int `json:"in_use"`
	Limit int `json:"limit"`
}

// Media says what carries RTP.
type Media struct {
	// Engine is kernel or userspace.
	Engine string `json:"engine"`
	// Detail is where the kernel's program is attached, or why the kernel does not carry RTP.
	Detail string `json:"detail"`
}

// String returns both in one line.
func (m Media) String() string { return m.Engine + ": " + m.Detail }

// Capacity is how many calls there are and can be. Calls without a written record count. A limit of 0 means none.
type Capacity struct {
	Calls int `json:"calls"`
	Limit int `json:"limit"`
}

// Node holds the current figures that only the node knows.
type Node struct {
	Calls, Unwritten, Limit int
	Ports                   Ports
	Media                   Media
	Draining                bool
	Certificate             string
	Machine                 Machine
	// Rejected counts refused requests since the start, by reason.
	Rejected map[string]uint64
}

// Stats returns the current figures, and what is not well.
func (w *Watcher) Stats() Stats {
	s := w.figures()
	s.Troubles = []Trouble{}
	if f := w.options.Troubles; f != nil {
		s.Troubles = append(s.Troubles, f(&s, w.Targets())...)
	}
	return s
}

func (w *Watcher) figures() Stats {
	n := w.options.Node()
	w.mu.Lock()
	defer w.mu.Unlock()
	now := w.advance()
	w.sample(n.Rejected)
	s := Stats{
		At: record.TimeOf(now), Calls: len(w.calls), Phases: w.phases, Draining: n.Draining,
		CallsPerSecond: w.rate.perSecond(now),
		WindowS:        int(window / time.Second), Ended: w.ended.sum, Answered: w.answered.sum,
		Decided: w.answered.sum + w.unanswered.sum, AnswerRatio: ratio(w.answered.sum, w.answered.sum+w.unanswered.sum),
		PostDialDelay: percentiles(&w.postDial), Prepare: percentiles(&w.prepare), Setup: percentiles(&w.setup),
		Loss: ratio(w.lost.sum, w.lost.sum+w.received.sum), Jitter: percentiles(&w.jitter),
		LossHere: ratio(w.lostHere.sum, w.lost.sum+w.received.sum),
		Ports:    n.Ports, Media: n.Media, Capacity: Capacity{n.Calls, n.Limit}, Unwritten: n.Unwritten,
		Certificate: n.Certificate, Rejected: sums(w.rejected), Causes: sums(w.causes),
		Machine: n.Machine, Changes: w.noted.Load(), Suffering: w.sufferings(),
	}
	if h := &w.harm.sum; h.count > 0 {
		s.MOS = &MOS{P50: mosOf(h.quantile(0.5)), P5: mosOf(h.quantile(0.95))}
	}
	return s
}

// bestMOS is above every MOS. Quality is stored as the difference from it, because small values have finer buckets.
const bestMOS = 5

// mosOf returns the MOS in the middle of a bucket. The middle of the worst bucket would be below the scale, which
// starts at 1.
func mosOf(harm float64) float64 { return rounded(max(1, bestMOS-harm), 2) }

func ratio(part, of uint64) *float64 {
	if of == 0 {
		return nil
	}
	r := rounded(float64(part)/float64(of), 4)
	return &r
}

func percentiles(s *series) *Percentiles {
	if s.sum.count == 0 {
		return nil
	}
	p := func(q float64) float64 { return rounded(s.sum.quantile(q), 1) }
	return &Percentiles{P50: p(0.5), P95: p(0.95), P99: p(0.99)}
}

func rounded(v float64, digits int) float64 {
	unit := math.Pow10(digits)
	return math.Round(v*unit) / unit
}

// sums returns the counts of the window that are not 0.
func sums(all map[string]*tally) map[string]uint64 {
	out := map[string]uint64{}
	for name, t := range all {
		if t.sum > 0 {
			out[name] = t.sum
		}
	}
	return out
}

// sample adds the requests that were refused since the last call of sample.
func (w *Watcher) sample(rejected map[string]uint64) {
	for reason, n := range rejected {
		if k := n - w.sampled[reason]; k > 0 && k <= n {
			w.named(w.rejected, reason, k)
		}
	}
	w.sampled = maps.Clone(rejected)
}

// rateOver is the number of seconds over which the rate of new calls is averaged.
const rateOver = 10

// rate counts events of the last seconds.
type rate struct {
	began   time.Time
	second  int
	seconds [rateOver + 1]uint32
}

func (r *rate) advance(now time.Time) {
	second := int(now.Sub(r.began) / time.Second)
	for n := min(second-r.second, len(r.seconds)); n > 0; n-- {
		r.seconds[(second-n+1)%len(r.seconds)] = 0
	}
	r.second = max(r.second, second)
}

func (r *rate) add(now time.Time) {
	r.advance(now)
	r.seconds[r.second%len(r.seconds)]++
}

// perSecond returns the average of the last whole seconds.
func (r *rate) perSecond(now time.Time) float64 {
	r.advance(now)
	sum := uint32(0)
	for i, n := range r.seconds {
		if i != r.second%len(r.seconds) {
			sum += n
		}
	}
	return float64(sum) / rateOver
}
