package admin

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
)

// fakeEraser answers with what it was asked.
type fakeEraser struct{}

func (fakeEraser) Erase(_ context.Context, by string, r ErasureRequest) (Erasure, error) {
	switch r.Call {
	case "broken":
		return Erasure{}, errors.New("the disk is full")
	case "unknown":
		return Erasure{}, &RefusedError{Status: 404, Problem: "this node has no call", Remedy: "ask another"}
	}
	return Erasure{DryRun: r.DryRun, Held: []string{fmt.Sprint(by, " ", r.Number, r.Call, r.LegalHold != nil)}}, nil
}

// TestErase: a request names one number or one call; the number reaches the node as digits.
func TestErase(t *testing.T) {
	opts, _ := fixture()
	opts.Eraser = fakeEraser{}
	h := New(opts)
	for _, tc := range []struct {
		body string
		code int
		says string
	}{
		{`{"number": "00 49 (30) 123-456", "dry_run": true}`, 200, `"dry_run":true,`},
		{`{"number": "+4930123456"}`, 200, " 4930123456false"},
		{`{"call": "1", "legal_hold": false}`, 200, " 1true"},
		{`{"call": "unknown", "legal_hold": true}`, 404, "ask another"},
		{`{"call": "broken"}`, 503, "the disk is full"},
		{`{"legal_hold": true, "dry_run": true}`, 200, " true"},
		{`{}`, 400, "one number or one call"},
		{`{"number": "1", "call": "2"}`, 400, "one number or one call"},
		{`{"number": "1", "legal_hold": true}`, 400, "one number or one call"},
		{`{"call": "1", "legal_hold": true, "dry_run": true}`, 400, "no dry run"},
		{`{"number": "alice"}`, 400, "number has no digits"},
		{`{"number": "00"}`, 400, "number has no digits"},
		{`{"number": "` + strings.Repeat("1", 41) + `"}`, 400, "too many"},
		{`{"numbers": "1"}`, 400, "not known"},
	} {
		res, text := post(t, h, "/api/erasures", tc.body)
		if res.StatusCode != tc.code || !strings.Contains(text, tc.says) {
			t.Errorf("%s: %d %s", tc.body, res.StatusCode, text)
		}
	}
}
