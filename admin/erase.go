package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"time"

	"flowbridge/store/record"
)

// ErasureRequest says what to erase: the calls with a number, or one call.
type ErasureRequest struct {
	Number string `json:"number"`
	Call   string `json:"call"`
	// DryRun counts, and changes nothing.
	DryRun bool `json:"dry_run"`
	// LegalHold sets or lifts the call's legal hold instead: neither an erasure nor its age deletes a held call. A dry run
	// without a call lists the held ones.
	LegalHold *bool `json:"legal_hold"`
}

// Erasure counts what an order has erased or, in a dry run, would erase.
type Erasure struct {
	DryRun     bool  `json:"dry_run"`
	Calls      int64 `json:"calls"`
	Ladders    int64 `json:"ladders"`
	Recordings int64 `json:"recordings"`
	// Mentioned counts calls with the number in their messages only. They lose their ladders and pcapng files, which
	// Ladders and Recordings count too, and keep their records.
	Mentioned int64 `json:"mentioned"`
	// Fleet counts the records in the fleet's database.
	Fleet int64 `json:"fleet"`
	// Held has the calls that stay under a legal hold; Live has the calls that are erased at their end.
	Held []string `json:"held"`
	Live []string `json:"live"`
	// Waits has the nodes of the fleet that have not confirmed all erasures yet.
	Waits []string `json:"waits"`
	// Unreached says where else there may be something, and which messages were not searched.
	Unreached []string `json:"unreached"`
}

// Eraser erases what is kept about people. by names the sender. The error may be a *RefusedError.
type Eraser interface {
	Erase(ctx context.Context, by string, r ErasureRequest) (Erasure, error)
}

// EraseTimeout bounds an erasure. It goes on if its client does not wait.
const EraseTimeout = 10 * time.Minute

func (a *api) erase(w http.ResponseWriter, r *http.Request, who sender) {
	var body ErasureRequest
	const remedy = `send {"number": "+15075550100"} or {"call": "ID"}; "dry_run": true only counts, "legal_hold": true keeps a call`
	if !a.body(w, r, &body, remedy) {
		return
	}
	list := body.LegalHold != nil && body.DryRun && body.Call == ""
	switch {
	case list && body.Number == "":
	case (body.Number == "") == (body.Call == "") || body.LegalHold != nil && body.Call == "":
		a.fail(w, http.StatusBadRequest, "the body does not name one number or one call", remedy)
		return
	case body.LegalHold != nil && body.DryRun:
		a.fail(w, http.StatusBadRequest, "a legal hold of a call has no dry run", remedy)
		return
	}
	if body.Number != "" {
		digits, ok := record.Digits(body.Number)
		if body.Number = strings.TrimPrefix(digits, "00"); !ok || body.Number == "" || len(digits) > maxNumber {
			a.fail(w, http.StatusBadRequest, "number has no digits, too many, or something else", remedy)
			return
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), EraseTimeout)
	defer cancel()
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(EraseTimeout)) // not every ResponseWriter has one
	done, err := a.Eraser.Erase(ctx, who.name, body)
	if refused, is := errors.AsType[*RefusedError](err); is {
		a.fail(w, refused.Status, refused.Problem, refused.Remedy)
		return
	}
	if err != nil {
		a.fail(w, http.StatusServiceUnavailable, "not all is erased: "+err.Error(), "order it again: what is gone stays gone")
		return
	}
	a.write(w, http.StatusOK, done)
}
