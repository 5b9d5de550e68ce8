package report

import (
	"testing"
	"time"
)

func TestMedians(t *testing.T) {
	type round struct {
		Name  string
		Calls int
		Lost  int64
		CPU   float64
	}
	got := Medians([]round{{"a", 1, 10, 5}, {"a", 2, 20, 1}, {"a", 3, 30, 2}, {"a", 4, 40, 4}})
	if want := (round{Calls: 10, Lost: 100, CPU: 3}); got != want {
		t.Errorf("got %+v; want %+v", got, want)
	}
}

func TestAt(t *testing.T) {
	sorted := []time.Duration{1, 2, 3, 4}
	if At(sorted, 0) != 1 || At(sorted, 0.5) != 3 || At(sorted, 1) != 4 || At[float64](nil, 0.5) != 0 {
		t.Error(At(sorted, 0), At(sorted, 0.5), At(sorted, 1))
	}
}
