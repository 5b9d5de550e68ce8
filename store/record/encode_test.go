package record

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// fill sets every field to a random value, or, with zeros, only some of the fields.
func fill(v reflect.Value, random *rand.Rand, zeros bool) {
	if zeros && random.IntN(2) == 0 {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[Time]() {
			v.Set(reflect.ValueOf(TimeOf(time.Unix(1_800_000_000, 0).Add(time.Duration(random.IntN(1e9)) * time.Microsecond))))
			return
		}
		for _, field := range v.Fields() {
			fill(field, random, zeros)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1+random.IntN(3), 3))
		for i := range v.Len() {
			fill(v.Index(i), random, zeros)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		for _, name := range []string{"b", "\"a<", "\u2028"} {
			value := reflect.New(v.Type().Elem()).Elem()
			fill(value, random, zeros)
			v.SetMapIndex(reflect.ValueOf(name), value)
		}
	case reflect.String:
		texts := []string{"synthflow", "\"a\\b\"", "<b>&amp;", "ä€😀", "\x00\x1f\x7f\t\r\n\b\f", "\xff\xc3", "\u2028\u2029", "\ufffd"}
		v.SetString(texts[random.IntN(len(texts))])
	case reflect.Int, reflect.Int64:
		v.SetInt(random.Int64N(1e12) - 5e11)
	case reflect.Bool:
		v.SetBool(random.IntN(2) == 0)
	case reflect.Float64:
		v.SetFloat([]float64{1.5, 4.3, 1e-7, 1e21, -0.000001, 3e-10, 123456789.125, math.MaxFloat64, 1e-300}[random.IntN(9)])
	case reflect.Uint16:
		v.SetUint(uint64(random.IntN(1 << 16)))
	case reflect.Pointer:
		if v.Type() != reflect.TypeFor[*Report]() { // which has its own table
			v.Set(reflect.New(v.Type().Elem()))
			fill(v.Elem(), random, zeros)
		}
	default:
		panic("fill does not know " + v.Type().String())
	}
}

// The appended text equals the output of encoding/json for every field of every part. The journal's records can be
// read back unchanged.
func TestEncoding(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 2000 {
		var r Record
		fill(reflect.ValueOf(&r).Elem(), random, i > 0)
		r.Report, r.Problems, r.Traceparent, r.Waiting = nil, nil, "", false // not in the journal
		for name, part := range map[string]struct {
			got  []byte
			like any
		}{
			"attempts":   {appended(&r, "attempts"), emptyNotNil(r.Attempts)},
			"recordings": {appended(&r, "recordings"), emptyNotNil(r.Recordings)},
			"variables":  {appended(&r, "variables"), r.Variables},
			"media":      {appended(&r, "media"), r.Media},
			"talk":       {appended(&r, "talk"), r.Talk},
			"told":       {appended(&r, "told"), r.Told},
		} {
			want, err := json.Marshal(part.like)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), string(part.got)); diff != "" {
				t.Fatalf("%s: want - got +\n%s", name, diff)
			}
		}
		text, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var want, got Record
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(AppendRecord(nil, &r), &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("record: want - got +\n%s", diff)
		}
	}
}

// TestLive: whatever a live call keeps is in its record, and a restored call has it again.
func TestLive(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 100 {
		live := Live{Queued: time.Duration(random.IntN(1e6)) * time.Millisecond}
		for f, field := range reflect.ValueOf(&live).Elem().Fields() {
			if f.Name != "Queued" && f.Name != "Waits" && f.Name != "Placed" { // a restored call has the last two elsewhere
				fill(field, random, false)
			}
		}
		r := live.Record()
		if diff := cmp.Diff(live, LiveOf(&r)); diff != "" {
			t.Fatalf("want - got +\n%s", diff)
		}
	}
}

// appended returns the text of a column.
func appended(r *Record, column string) []byte {
	return r.AppendColumn(nil, slices.Index(Columns(), column))
}

func emptyNotNil[T any](items []T) []T {
	if items == nil {
		return []T{}
	}
	return items
}

// A record is not lost because of a number that JSON can't represent.
func TestEncodingOfNoNumbers(t *testing.T) {
	m := Media{A: MediaSide{JitterMS: math.NaN(), RTT: Millis(math.Inf(1))}, MOS: Score(math.Inf(-1))}
	var got Media
	if err := json.Unmarshal(appended(&Record{Media: m}, "media"), &got); err != nil || !got.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
}

func BenchmarkEncode(b *testing.B) {
	r := sample("one")
	var text []byte
	b.ReportAllocs()
	for b.Loop() {
		text = AppendRecord(text[:0], &r)
	}
	b.ReportMetric(float64(len(text)), "bytes")
}
