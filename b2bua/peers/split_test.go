package peers

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"testing"
	"time"

	"flowbridge/config"
	"flowbridge/config/template"
)

// splitPeers returns a snapshot with three targets, a trunk that can be called, and one route.
func splitPeers(t testing.TB, route string) *Snapshot {
	t.Helper()
	cfg, err := config.Parse("test.yaml", []byte(`
trunks: [{name: carrier, sources: ["192.0.2.10"]}, {name: pbx, sources: ["192.0.2.11"], uri: "sip:{{.To.Number}}@192.0.2.11"}]
targets:
  - {name: a, kind: sip, uri: "sip:x@192.0.2.20"}
  - {name: b, kind: sip, uri: "sip:x@192.0.2.21"}
  - {name: c, kind: sip, uri: "sip:{{.To.Number}}@192.0.2.22"}
routes: [`+route+`]
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	return NewAdmission(cfg, nil).Peers.Load()
}

func namesOf(all []*Target) (names []string) {
	for _, t := range all {
		names = append(names, t.Dial.Name)
	}
	return names
}

func callFrom(number string) *template.Vars {
	return &template.Vars{From: template.Party{Number: number}, To: template.Party{Number: "+15075785607"}, SIPCallID: "call", Trunk: "carrier"}
}

// chosen returns the first target for each of many callers.
func chosen(t *testing.T, route string) (first []string) {
	t.Helper()
	p := splitPeers(t, route)
	for i := range manyCallers {
		all, _ := p.DestinationsFor(&p.Routes[0], callFrom(fmt.Sprintf("+1507%07d", i)))
		first = append(first, all[0].Dial.Name)
	}
	return first
}

const manyCallers = 20_000

func parts(first []string) map[string]float64 {
	all := map[string]float64{}
	for _, name := range first {
		all[name] += 1. / manyCallers
	}
	return all
}

// moved returns which share of the callers moves from one target to another. The key "a b" means from a to b.
func moved(before, after []string) map[string]float64 {
	all := map[string]float64{}
	for i, name := range before {
		if name != after[i] {
			all[name+" "+after[i]] += 1. / manyCallers
		}
	}
	return all
}

// Callers are split in proportion to the weights, whatever their sum is.
func TestSplitParts(t *testing.T) {
	for split, want := range map[string]map[string]float64{
		"{a: 90, b: 10}":         {"a": 0.9, "b": 0.1},
		"{a: 9, b: 1, c: 0}":     {"a": 0.9, "b": 0.1},
		"{b: 1, a: 1}":           {"a": 0.5, "b": 0.5},
		"{a: 80, b: 15, c: 5}":   {"a": 0.8, "b": 0.15, "c": 0.05},
		"{a: 0, b: 1000, c: 0}":  {"b": 1},
		"{a: 1, b: 999, c: 0}":   {"a": 0.001, "b": 0.999},
		"{a: 100, b: 100, c: 2}": {"a": 0.495, "b": 0.495, "c": 0.01},
	} {
		got := parts(chosen(t, "{targets: [a, b, c], split: "+split+"}"))
		for name := range maps.Keys(map[string]bool{"a": true, "b": true, "c": true}) {
			if math.Abs(got[name]-want[name]) > 0.01 {
				t.Errorf("%s: got %v; want %v", split, got, want)
			}
		}
	}
}

// A changed weight moves only as many callers as necessary. The same configuration moves none.
func TestSplitMovesFew(t *testing.T) {
	ten, twenty := chosen(t, "{targets: [a, b], split: {a: 90, b: 10}}"), chosen(t, "{targets: [a, b], split: {a: 80, b: 20}}")
	if got := moved(ten, twenty); len(got) != 1 || math.Abs(got["a b"]-0.1) > 0.01 {
		t.Errorf("from 10 to 20 of 100: %v", got)
	}
	for name, route := range map[string]string{
		"the same":              "{targets: [a, b], split: {a: 90, b: 10}}",
		"in another order":      "{targets: [b, a], split: {b: 10, a: 90}}",
		"other sums":            "{targets: [a, b], split: {a: 9, b: 1}}",
		"another place":         "{to: \"^\\\\+1666$\", targets: [c]}, {targets: [a, b], split: {a: 90, b: 10}}",
		"a target without part": "{targets: [c, a, b], split: {a: 90, b: 10}}",
	} {
		p := splitPeers(t, route)
		for i, was := range ten {
			all, _ := p.DestinationsFor(&p.Routes[len(p.Routes)-1], callFrom(fmt.Sprintf("+1507%07d", i)))
			if all[0].Dial.Name != was {
				t.Fatalf("%s: caller %d goes from %s to %s", name, i, was, all[0].Dial.Name)
			}
		}
	}
	three := chosen(t, "{targets: [a, b, c], split: {a: 90, b: 10, c: 20}}")
	for move := range moved(ten, three) {
		if move != "a c" && move != "b c" {
			t.Errorf("a share for c moves callers %s", move)
		}
	}
	if named := chosen(t, "{name: trial, targets: [a, b], split: {a: 90, b: 10}}"); math.Abs(sum(moved(ten, named))-0.18) > 0.02 {
		t.Errorf("another route splits its callers as the first one does: %v", moved(ten, named))
	}
}

func sum(all map[string]float64) (n float64) {
	for _, part := range all {
		n += part
	}
	return n
}

// A caller's target is the same in every version and on every machine: these are the targets from when this test was
// written.
func TestSplitIsForGood(t *testing.T) {
	p := splitPeers(t, "{name: trial, targets: [a, b, c], split: {a: 50, b: 30, c: 20}}")
	got := ""
	for i := range 40 {
		all, _ := p.DestinationsFor(&p.Routes[0], callFrom(fmt.Sprintf("+1507578%04d", i)))
		got += all[0].Dial.Name
	}
	if got != splitForGood {
		t.Errorf("got %s", got)
	}
}

const splitForGood = "baaabbcaaabaacacbabbbbababaaacbbaaaacbab"

// After the drawn target, the others follow in their order. A call without a number is split by its Call-ID. If a PBX
// hands over a call, it is split by the called number. A target that can't be called gets no share.
func TestSplitOrder(t *testing.T) {
	p := splitPeers(t, "{targets: [a, b, c], split: {c: 1, b: 0}}, {targets: [a, b], split: {a: 1, b: 1}, direction: outbound}, {targets: [b, c], split: {c: 1, b: 0}}")
	all, share := p.DestinationsFor(&p.Routes[0], callFrom("+15075550100"))
	if got := namesOf(all); !slices.Equal(got, []string{"c", "a", "b"}) || share != 1 {
		t.Errorf("got %v, %d", got, share)
	}
	anonymous := callFrom("anonymous")
	anonymous.To.Number = "sales"
	if all, share := p.DestinationsFor(&p.Routes[2], anonymous); len(all) != 1 || all[0].Dial.Name != "b" || share != 0 {
		t.Errorf("got %v, %d", namesOf(all), share)
	}
	seen := map[string]map[string]bool{"caller": {}, "called": {}, "id": {}}
	for i := range 100 {
		v := callFrom(fmt.Sprintf("+1507555%04d", i))
		all, _ = p.DestinationsFor(&p.Routes[1], v)
		seen["caller"][all[0].Dial.Name] = true
		v = callFrom("+15075550100")
		v.To.Number = fmt.Sprintf("+1507555%04d", i)
		all, _ = p.DestinationsFor(&p.Routes[1], v)
		seen["called"][all[0].Dial.Name] = true
		v = callFrom("anonymous")
		v.SIPCallID = fmt.Sprint("id", i)
		q := splitPeers(t, "{targets: [a, b], split: {a: 1, b: 1}}")
		all, _ = q.DestinationsFor(&q.Routes[0], v)
		seen["id"][all[0].Dial.Name] = true
	}
	if len(seen["caller"]) != 1 || len(seen["called"]) != 2 || len(seen["id"]) != 2 {
		t.Errorf("got %v", seen)
	}
}

// A route without split, table and hours allocates no more than necessary.
func TestPlainRouteAllocates(t *testing.T) {
	p := splitPeers(t, "{trunk: carrier, targets: [a, b]}")
	v, now := callFrom("+15075550100"), time.Now()
	if n := testing.AllocsPerRun(100, func() { p.FirstRoute(v, now) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkRoute(b *testing.B) {
	for name, route := range map[string]string{
		"plain": "{targets: [a, b, c]}",
		"split": "{targets: [a, b, c], split: {a: 80, b: 15, c: 5}}",
		"hours": "{targets: [a, b, c], hours: {zone: Europe/Berlin, open: [\"mon-fri 08:00-17:30\", \"00:00-24:00\"]}}",
	} {
		b.Run(name, func(b *testing.B) {
			p := splitPeers(b, route)
			v, now := callFrom("+15075550100"), time.Now()
			b.ReportAllocs()
			for b.Loop() {
				if all, _ := p.DestinationsFor(&p.Routes[p.FirstRoute(v, now)], v); len(all) != 3 {
					b.Fatal(all)
				}
			}
		})
	}
}
