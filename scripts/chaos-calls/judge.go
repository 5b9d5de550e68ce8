package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/scripts/internal/flowbridge"
)

// invariant is something that must hold at the end, whatever happened.
type invariant struct {
	name   string
	of     int      // number of checks
	broken []string // descriptions of the failed checks; the first word may be a called number
}

// side holds the facts about a leg that are judged.
type side struct {
	name     string // name of its end
	number   string // the called number, unique to the call
	callID   string
	caller   bool   // it sent the INVITE
	rung     bool   // it sent or got 18x
	answered bool   // it sent or got 200
	set      bool   // the API confirmed a variable of the call
	wanted   bool   // it hung up by itself
	why      string // why it hung up, if that was not planned
	fate     fate
	over     time.Duration
	parted   time.Duration // when its BYE was first sent
}

func (s side) String() string {
	text := s.name + ": " + s.fate.String()
	if s.why != "" {
		text += " (" + s.why + ")"
	}
	return text
}

// byNumber groups the legs by call.
func byNumber(all []side) map[string][]side {
	calls := map[string][]side{}
	for _, s := range all {
		calls[s.number] = append(calls[s.number], s)
	}
	return calls
}

// judgeCalls checks what both ends of all calls have seen.
func judgeCalls(all []side) []invariant {
	isTold := invariant{name: "both ends of an answered call were told of its end"}
	ringing := invariant{name: "nothing is left ringing"}
	final := invariant{name: "each INVITE of the carrier got a final answer"}
	lived := invariant{name: "no answered call ended that neither end hung up"}
	calls := byNumber(all)
	for _, number := range slices.Sorted(maps.Keys(calls)) {
		legs := calls[number]
		answered := false
		for _, s := range legs {
			answered = answered || s.answered
			if s.caller {
				final.holds(s.answered || s.fate != unheard && (s.fate != open || s.rung), number, s)
			}
			if !s.answered && s.rung {
				ringing.holds(s.fate != open, number, s)
			}
			if s.answered {
				isTold.holds(s.fate != open && s.fate != untold, number, s)
			}
		}
		if answered {
			text := lostCall(legs)
			lived.holds(text == "", number, text)
		}
	}
	return []invariant{isTold, ringing, final, lived}
}

// holds counts a check of the invariant, and records the words if it failed.
func (i *invariant) holds(is bool, words ...any) {
	if i.of++; !is {
		i.broken = append(i.broken, strings.TrimSuffix(fmt.Sprintln(words...), "\n"))
	}
}

// lostCall says how a call ended that should not have ended. A call ends when one of its ends hangs up or dies. A BYE
// answered by 481 has ended it if the other ends were told later: the answer was lost, and a process started since
// then no longer knows the call.
func lostCall(legs []side) string {
	var ended []string
	caller := false
	for _, s := range legs {
		switch {
		case s.wanted && s.why == "" && (s.fate != gone || toldAfter(legs, s)), s.fate == forgotten:
			return ""
		case s.caller && s.answered:
			caller = true
		}
		if s.answered && s.fate != open {
			ended = append(ended, s.String())
		}
	}
	if !caller { // the caller did not get the 200: it gave up, or the call ended before that
		return ""
	}
	return strings.Join(ended, ", ")
}

// toldAfter reports whether an answered call has other sides, and all of them were told of its end after by had sent
// its BYE.
func toldAfter(legs []side, by side) (is bool) {
	for _, s := range legs {
		if s.callID == by.callID || !s.answered {
			continue
		}
		if s.fate != told || s.over < by.parted {
			return false
		}
		is = true
	}
	return is
}

type record = flowbridge.Record

// judgeRecords compares the records with the calls. before holds the records of a database that has since been
// removed.
func judgeRecords(all []side, now []record, before map[string]record, causes map[string]bool) []invariant {
	one := invariant{name: "each answered call has one record"}
	rang := invariant{name: "each call that rang and was not answered has one record"}
	twice := invariant{name: "no call has two records"}
	closed := invariant{name: "causes are of the closed set"}
	interrupted := invariant{name: "no record of an answered call says interrupted"}
	kept := invariant{name: "a variable that was set is in the record"}
	known := byCallID(now, before)
	listed := map[string]int{}
	for _, r := range now {
		listed[r.ID]++
		closed.holds(causes[r.Cause], r.ID, "of", r.SIPCallID+":", strconv.Quote(r.Cause))
	}
	for id, n := range listed {
		if n > 1 {
			twice.broken = append(twice.broken, fmt.Sprintf("%s is listed %d times", id, n))
		}
	}
	for _, s := range all {
		if !s.caller {
			continue
		}
		records := known[s.callID]
		ids := slices.Sorted(maps.Keys(records))
		twice.holds(len(ids) < 2, s.number, len(ids), "records:", ids)
		if s.rung && !s.answered {
			rang.holds(len(records) > 0, s.number, "none,", s)
		}
		if s.answered {
			one.holds(len(records) > 0, s.number, "none,", s)
			for _, r := range records {
				interrupted.holds(r.Disposition != "interrupted", s.number, r.ID, r.Cause)
				if s.set {
					kept.holds(r.Variables.Number == s.number, s.number, r.ID, strconv.Quote(r.Variables.Number))
				}
			}
		}
	}
	return []invariant{one, rang, twice, closed, interrupted, kept}
}

// byCallID groups the records by Call-ID, and by their ids.
func byCallID(now []record, before map[string]record) map[string]map[string]record {
	known := map[string]map[string]record{}
	for _, r := range append(slices.Collect(maps.Values(before)), now...) { // if a record is in both, the current one wins
		if known[r.SIPCallID] == nil {
			known[r.SIPCallID] = map[string]record{}
		}
		known[r.SIPCallID][r.ID] = r
	}
	return known
}

// slack is how much more than before the calls the process may use.
var slack = []struct {
	name, metric string
	more, times  float64
}{
	{"no call is live", "flowbridge_calls_open", 0, 0},
	{"no RTP port is leased", "flowbridge_rtp_ports_in_use", 0, 0},
	{"no RTP stream is relayed, in the kernel neither", "flowbridge_media_streams", 0, 0},
	{"no record waits", "flowbridge_unwritten_records", 0, 0},
	{"descriptors are back", "process_open_fds", 16, 1},
	{"goroutines are back", "go_goroutines", 16, 1}, // idle goroutines of pools are not counted
	{"memory is back", "process_resident_memory_bytes", 128 << 20, 1},
	{"no panic was recovered", "flowbridge_panics_recovered_total", 0, 0},
}

// judgeProcess compares the process with its state before the calls.
func judgeProcess(before, after flowbridge.Figures) (all []invariant) {
	for _, s := range slack {
		i := invariant{name: s.name}
		now, there := after[s.metric]
		limit := before[s.metric]*s.times + s.more
		i.holds(now <= limit && (there || s.metric == "flowbridge_media_streams"),
			fmt.Sprintf("%s is %.0f, at most %.0f is right", s.metric, now, limit))
		all = append(all, i)
	}
	return all
}

// judgeLog looks for lines that no log should have.
func judgeLog(text string) invariant {
	i := invariant{name: "no panic and no data race in the log", of: 1}
	for line := range strings.Lines(text) {
		for _, word := range []string{"panic:", "fatal error:", "DATA RACE", "panic recovered", "SIGSEGV"} {
			if strings.Contains(line, word) {
				i.broken = append(i.broken, strings.TrimSpace(line))
				break
			}
		}
	}
	return i
}
