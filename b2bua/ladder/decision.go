package ladder

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"flowbridge/b2bua/cause"
)

// Attempt is the end of an attempt at a target.
type Attempt struct {
	Target        string
	Cause         cause.Cause
	Code          int    // the target's final answer; 0 if none
	Reason        string // phrase of the final answer
	PrepareStatus int    // HTTP status of the API; 0 if no answer
	Prepare       time.Duration
	Took          time.Duration
	Err           error
}

// Failed stores how an attempt ended. A following Next adds the next target to the
// same decision. Without Next the decision names no target.
func (c *Call) Failed(a Attempt) {
	if !c.decides() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush("")
	c.failed = a.sentence(c.asked)
}

// Next adds the target that is tried next.
func (c *Call) Next(target string) {
	if !c.decides() {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.flush("; next: " + target)
}

// flush adds the decision about the failed attempt.
func (c *Call) flush(next string) {
	if c.failed != "" {
		c.note([]byte(c.failed + next))
		c.failed = ""
	}
}

// sentence describes how an attempt ended. asked is the number of requests to its API.
func (a Attempt) sentence(asked int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "target %s: ", a.Target)
	switch took := a.Took.Milliseconds(); {
	case strings.HasPrefix(string(a.Cause), "prepare_"):
		if a.Cause == cause.PrepareFailed && a.PrepareStatus > 0 {
			fmt.Fprintf(&b, "prepare %d", a.PrepareStatus)
			a.Err = nil // the error adds nothing
		} else {
			b.WriteString(a.Cause.Words())
		}
		if asked > 1 {
			fmt.Fprintf(&b, " after %d tries, %d ms", asked, a.Prepare.Milliseconds())
		} else {
			fmt.Fprintf(&b, " after %d ms", a.Prepare.Milliseconds())
		}
	case a.Code >= 300:
		fmt.Fprintf(&b, "%d %s after %d ms", a.Code, a.Reason, took)
	default:
		fmt.Fprintf(&b, "%s after %d ms", a.Cause.Words(), took)
	}
	if a.Err != nil {
		fmt.Fprintf(&b, " (%v)", a.Err)
	}
	return b.String()
}

// Split adds the target that the route's split has chosen by a weight; 0: it has chosen none. moved says when and why
// the split has other weights than the file.
func (c *Call) Split(target string, weight, of int, moved string) {
	if moved != "" {
		moved = ", " + moved
	}
	if weight > 0 {
		c.Decide("split: target %s has this caller, by %d of %d%s", target, weight, of, moved)
	}
}

// Routed adds the route of the call, and its targets.
func (c *Call) Routed(route, number string, targets []string) {
	if !c.decides() {
		return
	}
	var room [128]byte
	b := append(append(append(append(room[:0], route...), " matches the call to "...), number...), ": "...)
	for i, t := range targets {
		if i > 0 {
			b = append(b, ", then "...)
		}
		b = append(b, t...)
	}
	c.decided(b)
}

// Ended adds why the call ends, and which side ended it.
func (c *Call) Ended(why cause.Cause, by string, after time.Duration) {
	if c == nil {
		return
	}
	if c.decides() {
		var room [128]byte
		b := strconv.AppendFloat(append(room[:0], "the call ends after "...), after.Seconds(), 'f', 1, 64)
		b = append(append(append(append(append(b, " s: "...), why.Words()...), " (by the "...), by...), ')')
		c.decided(b)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over, c.figures = true, nil
}
