//go:build e2e

package e2e

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"flowbridge/store/record"
)

// The limits of the matrix's targets. A target has one that ends its calls, where
// its fault is to be met by one. The others are never met, however slow the machine
// is, and the one for ringing leaves the agent time to ring.
const (
	matrixPrepare  = 800 * time.Millisecond
	matrixSilence  = 700 * time.Millisecond
	matrixRinging  = 5 * time.Second
	matrixNever    = time.Minute
	matrixRingFor  = 50 * time.Millisecond // of the simulators
	matrixInterval = 10 * time.Millisecond // between two calls
)

// faultRow is a fault of the simulator, and what a call to it is to come to.
type faultRow struct {
	fault string
	api   bool          // it is the API that fails: no INVITE is sent
	rings bool          // the agent says 180
	early bool          // and 183 with SDP
	first try           // the attempt at it
	next  bool          // another target's turn; otherwise the call ends with it
	alone want          // the record where there is no other target, without attempts
	after time.Duration // until its end, or its answer, at the least
}

// limits are those of the row's target: for prepare, for the first answer and for
// ringing.
func (r faultRow) limits() (prepare, silence, ringing time.Duration) {
	prepare, silence, ringing = matrixNever, matrixNever, matrixNever
	switch r.fault {
	case "hang":
		prepare = matrixPrepare
	case "silent":
		silence = matrixSilence
	case "late:30s":
		ringing = matrixRinging
	}
	return prepare, silence, ringing
}

// failing is a row of a fault that is another target's turn.
func failing(fault, cause string, prepared, status int, after time.Duration) faultRow {
	return faultRow{
		fault: fault, first: try{cause, prepared, status}, next: true, after: after,
		alone: want{"failed", cause, "system", 503, nil},
	}
}

// failingAPI is failing without an INVITE.
func failingAPI(fault, cause string, prepared int, after time.Duration) faultRow {
	r := failing(fault, cause, prepared, 0, after)
	r.api = true
	return r
}

// refusing is a row of a refusal that the carrier gets as it is.
func refusing(fault, disposition, cause string, status int) faultRow {
	return faultRow{fault: fault, first: try{cause, 200, status}, alone: want{disposition, cause, "agent", status, nil}}
}

// answering is a row of a call that is answered.
func answering(fault string, by string, after time.Duration) faultRow {
	return faultRow{
		fault: fault, rings: true, first: try{"", 200, 200}, after: after,
		alone: want{"answered", by + "_hangup", by, 200, nil},
	}
}

func faultRows() []faultRow {
	rows := []faultRow{
		answering("", "caller", matrixRingFor),
		answering("slow:400ms", "caller", 400*time.Millisecond+matrixRingFor),
		failingAPI("failed", "prepare_refused", 200, 0),
		failingAPI("500", "prepare_failed", 500, 0),
		failingAPI("hang", "prepare_timeout", 0, matrixPrepare),
		failingAPI("malformed", "prepare_invalid", 200, 0),
		failingAPI("reset", "prepare_failed", 0, 0),
		failing("silent", "target_silent", 200, 0, matrixSilence),
		refusing("busy", "busy", "target_busy", 486),
		answering("late:900ms", "caller", 900*time.Millisecond),
		failing("late:30s", "ring_timeout", 200, 0, matrixRinging),
		answering("hangup:300ms", "agent", matrixRingFor),
		failing("early:300ms", "target_error", 200, 503, 300*time.Millisecond),
		failing("status:302", "target_error", 200, 302, 0),
		failing("status:401", "auth_missing", 200, 401, 0),
		failing("status:408", "target_error", 200, 408, 0),
		failing("status:503", "target_error", 200, 503, 0),
		failing("status:606", "target_error", 200, 606, 0),
		refusing("status:403", "failed", "target_refused", 403),
		refusing("status:480", "no_answer", "target_refused", 480),
		refusing("status:603", "failed", "target_refused", 603),
	}
	for i := range rows {
		switch r := &rows[i]; r.fault {
		case "late:30s":
			r.rings, r.alone.disposition = true, "no_answer"
		case "early:300ms":
			r.early = true
		}
	}
	return rows
}

// name is that of the row's target, in the configuration and in records.
func (r faultRow) name() string { return "fault-" + strings.ReplaceAll(r.fault, ":", "-") }

// cell is one call of the matrix.
type cell struct {
	row      faultRow
	ringing  string
	spare    bool   // there is a second target, which is well
	failover string // the route's failover_on
	dial     bool   // prepare.on_failure: dial

	number string
	call   *matrixCall
}

func (c *cell) name() string {
	name := c.row.fault
	if name == "" {
		name = "none"
	}
	name += "/" + c.ringing
	for suffix, on := range map[string]bool{"/spare": c.spare, "/dial": c.dial, "/failover_on": c.failover != ""} {
		if on {
			name += suffix
		}
	}
	return name
}

// failsOver says whether the spare target gets the call.
func (c *cell) failsOver() bool { return c.spare && (c.row.next || c.failover != "") && !c.dial }

func (c *cell) answered() bool { return c.failsOver() || c.row.alone.disposition == "answered" }

// matrixCells are all of it, and the two keys that change what an answer comes
// to where they do.
func matrixCells() []*cell {
	var cells []*cell
	for _, row := range faultRows() {
		for _, ringing := range []string{"immediate", "on-target", "none"} {
			for _, spare := range []bool{false, true} {
				cells = append(cells, &cell{row: row, ringing: ringing, spare: spare})
				if row.fault == "busy" {
					cells = append(cells, &cell{row: row, ringing: ringing, spare: spare, failover: "486"})
				}
				if row.api {
					cells = append(cells, &cell{row: row, ringing: ringing, spare: spare, dial: true})
				}
			}
		}
	}
	for i, c := range cells {
		c.number = fmt.Sprintf("+1507%07d", i)
	}
	return cells
}

// responses are what the carrier is to get, in order; s: with SDP.
func (c *cell) responses() string {
	out := []string{"100"}
	ring := func(on bool) {
		if on && !slices.Contains(out, "180") {
			out = append(out, "180")
		}
	}
	ring(c.ringing == "immediate")
	ring(c.ringing == "on-target" && c.row.rings)
	if c.row.early {
		out = append(out, "183s")
	}
	ring(c.ringing == "on-target" && c.failsOver())
	if c.answered() {
		return strings.Join(append(out, "200s"), " ")
	}
	return strings.Join(append(out, fmt.Sprint(c.record().status)), " ")
}

// record is what the call's record is to say.
func (c *cell) record() want {
	w, first := c.row.alone, c.row.first
	if c.dial { // without an id the agent wants nothing of it
		first = try{"target_refused", first.prepareStatus, 403}
		w = want{"failed", "target_refused", "agent", 403, nil}
	}
	switch {
	case c.failsOver():
		w = hungUpByCaller
		w.attempts = []try{first, {"", 200, 200}}
		return w
	case c.failover != "":
		w.endedBy, w.status, w.disposition = "system", 503, "failed"
	}
	w.attempts = []try{first}
	return w
}

// earliest is when the carrier may have its final answer.
func (c *cell) earliest() time.Duration {
	if c.failsOver() {
		return c.row.after + matrixRingFor
	}
	return c.row.after
}

// matrixStage is a B2BUA with a route for each cell and a platform for each
// fault.
type matrixStage struct {
	*stage
	platforms map[string]*process // by fault
	targets   strings.Builder
}

func (m *matrixStage) platformOf(row faultRow) {
	m.Helper()
	m.platforms[row.fault] = m.simulate("--fault", row.fault, "--ring", matrixRingFor.String())
	limit, silence, ringing := row.limits()
	target := func(name, prepare, headers string) {
		fmt.Fprintf(&m.targets, "  - {name: %q, kind: synthflow, uri: \"sip:{{.To.Number}}@%s\", first_response_timeout: %s, ring_timeout: %s,\n"+
			"     prepare: {api: %q, token_env: E2E_TOKEN, timeout: %s%s}, headers: {X-EI: %q}}\n",
			name, m.agent, silence, ringing, m.api, limit, prepare, headers)
	}
	target(row.name(), "", "S.{{.Prepare.CallID}};")
	if row.api {
		target("dial-"+row.name(), ", on_failure: dial", "{{with .Prepare}}S.{{.CallID}};{{end}}")
	}
}

func newMatrixStage(t *testing.T, cells []*cell) *matrixStage {
	t.Helper()
	m := &matrixStage{stage: newStage(t), platforms: map[string]*process{}}
	for _, row := range faultRows() {
		m.platformOf(row)
	}
	m.platforms["spare"] = m.simulate("--ring", matrixRingFor.String())
	var routes strings.Builder
	for _, c := range cells {
		targets := []string{c.row.name(), "spare"}
		if c.dial {
			targets[0] = "dial-" + c.row.name()
		}
		if !c.spare {
			targets = targets[:1]
		}
		fmt.Fprintf(&routes, "  - {to: '^\\%s$', targets: ['%s'], ringing: %s, failover_on: [%s]}\n",
			c.number, strings.Join(targets, "', '"), c.ringing, c.failover)
	}
	config := strings.ReplaceAll(m.config(setup{}), "name: synthflow", "name: spare")
	before, _, _ := strings.Cut(config, "routes:\n")
	_, after, _ := strings.Cut(config, "store:")
	m.server = startServer(t, t.TempDir(), before+m.targets.String()+"routes:\n"+routes.String()+"store:"+after)
	return m
}

// TestMatrix calls targets with every fault of the simulator, with each way to
// ring, with and without another target, all at once.
func TestMatrix(t *testing.T) {
	cells := matrixCells()
	m := newMatrixStage(t, cells)
	var playing sync.WaitGroup
	for i, c := range cells {
		c.call = &matrixCall{rawCarrier: m.newRawCarrier(m.carrier), id: fmt.Sprintf("matrix-%d", i), waits: c.record().endedBy == "agent"}
		playing.Go(func() {
			<-time.After(time.Duration(i) * matrixInterval)
			c.call.play(fmt.Sprintf("sip:%s@%s", c.number, m.server.sip))
		})
	}
	playing.Wait()
	records := m.records(cells)
	for _, c := range cells {
		t.Run(c.name(), func(t *testing.T) {
			c.check(t)
			r, ok := records[c.call.id]
			if !ok {
				t.Fatal("no record")
			}
			if got, expected := wantOf(r), c.record(); !reflect.DeepEqual(got, expected) {
				t.Errorf("the record says %+v; want %+v", got, expected)
			}
			c.checkRinging(t, r)
			m.checkIDs(t, c, r)
		})
	}
	m.server.nothingLeft()
	m.server.stop()
	for _, c := range cells {
		before := c.call.got // what was sent again on its way is among it
		for text := c.call.receive(time.Millisecond); text != ""; text = c.call.receive(time.Millisecond) {
			if !slices.Contains(before, text) {
				t.Errorf("%s: the carrier got this afterwards:\n%s", c.name(), text)
			}
		}
	}
	for fault, p := range m.platforms {
		if _, ok := p.find("by=agent"); ok && !strings.HasPrefix(fault, "hangup") {
			t.Errorf("the agent of %q had to hang up a call itself", fault)
		}
	}
}

// records are all of them, by the carrier's Call-ID.
func (m *matrixStage) records(cells []*cell) map[string]record.Record {
	m.Helper()
	var all []record.Record
	eventually(m.T, "there is a record of each call", func() bool { all = m.server.cdrs(); return len(all) >= len(cells) })
	if len(all) != len(cells) {
		m.Errorf("%d records of %d calls", len(all), len(cells))
	}
	byID := map[string]record.Record{}
	for _, r := range all {
		m.server.plausible(r)
		byID[r.SIPCallID] = r
	}
	return byID
}

// checkIDs checks that the platform that has the call is the one that gave it
// its id: a failed attempt's is not used again.
func (m *matrixStage) checkIDs(t *testing.T, c *cell, r record.Record) {
	t.Helper()
	last, name := m.platforms[c.row.fault], c.row.name()
	switch {
	case c.dial:
		name = "dial-" + c.row.name()
	case c.failsOver():
		last, name = m.platforms["spare"], "spare"
	}
	if r.Target != name || r.Attempts[len(r.Attempts)-1].Target != name {
		t.Errorf("the record's target is %s, its attempts are %+v; want %s", r.Target, r.Attempts, name)
	}
	prepared := r.Attempts[len(r.Attempts)-1].PrepareStatus == 200 && (!c.row.api || c.failsOver())
	if prepared != (r.SynthflowCallID != "") {
		t.Fatalf("synthflow_call_id is %q", r.SynthflowCallID)
	}
	if _, ok := last.find("id=" + r.SynthflowCallID); prepared && !ok {
		t.Errorf("synthflow_call_id %s is not one of %s", r.SynthflowCallID, name)
	}
}
