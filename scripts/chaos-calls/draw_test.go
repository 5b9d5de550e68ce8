package main

import (
	"fmt"
	"testing"
	"time"
)

func TestDrawIsTheSeeds(t *testing.T) {
	one, again, other := draw(7, time.Hour), draw(7, time.Hour), draw(8, time.Hour)
	if fmt.Sprint(one) != fmt.Sprint(again) {
		t.Error("a seed draws differently")
	}
	if fmt.Sprint(one) == fmt.Sprint(other) {
		t.Error("two seeds draw the same")
	}
	for i := range one {
		if one[i].seed != again[i].seed || one[i].pause != again[i].pause {
			t.Fatalf("step %d: %v, then %v", i, one[i], again[i])
		}
	}
}

func TestDrawHasAllFaultsAndKeepsTheTime(t *testing.T) {
	for seed := range uint64(50) {
		steps := draw(seed, 10*time.Minute)
		var at time.Duration
		count := map[string]int{}
		for _, s := range steps {
			at += s.pause + faults[s.fault].lasts
			if s.pause < shortestPause || s.pause > longestPause {
				t.Errorf("seed %d: a pause of %v", seed, s.pause)
			}
			count[s.fault]++
		}
		if at > 10*time.Minute {
			t.Errorf("seed %d: %v of faults", seed, at)
		}
		if len(count) != len(faults) {
			t.Errorf("seed %d: %d of %d faults", seed, len(count), len(faults))
		}
	}
}

func TestDrawOfAShortTimeHasAFault(t *testing.T) {
	if steps := draw(1, time.Millisecond); len(steps) != 1 {
		t.Errorf("%d steps", len(steps))
	}
}

func TestReplay(t *testing.T) {
	steps, err := replay(3, "kill, disk-full")
	if err != nil {
		t.Fatal(err)
	}
	if len(steps) != 2 || steps[0].fault != "kill" || steps[1].fault != "disk-full" {
		t.Errorf("got %v", steps)
	}
	if _, err := replay(3, "kill,flood"); err == nil {
		t.Error("a fault that there is not")
	}
}
