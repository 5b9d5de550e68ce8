package main

import (
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
)

// A call is deaf if to one of its sides nothing comes while somebody listens, however long ago something came before.
func TestDeaf(t *testing.T) {
	long := batch.Clock(unix.CLOCK_MONOTONIC) + int64(time.Hour)
	a := &audio{all: []*talk{
		{call: 1, on: true, halves: [2]half{{last: long}, {last: long}}},
		{call: 2, on: true, halves: [2]half{{last: long}, {last: 1}}},
		{call: 3, on: true, halves: [2]half{{}, {last: long}}},
		{call: 4},
	}}
	if got := a.deaf(0); !slices.Equal(got, []uint32{2, 3}) {
		t.Errorf("deaf are %v", got)
	}
}
