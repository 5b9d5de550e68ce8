package fleet

import (
	"testing"
	"time"

	"flowbridge/internal/pgtest"
	"flowbridge/store/record"
)

// BenchmarkDrain drains records of answered calls with statistics, and reports their rate and size.
func BenchmarkDrain(b *testing.B) {
	pg := pgtest.Start(b, "fsync=on", "shared_buffers=128MB")
	pool, err := openPool(pg.Database(), "bench", 2)
	must(b, err)
	defer pool.Close()
	must(b, prepare(b.Context(), pool))
	records := 0
	for b.Loop() {
		batch := make([]staged, maxBatch)
		for i := range batch {
			r := finished(time.Now().Format("150405.000000000"))
			r.StartedAt = record.TimeOf(time.Now())
			side := record.MediaSide{Rx: 3000, Tx: 3000, JitterMS: 1.25, RTT: 40, MOS: 4.3, Codec: "PCMU", Expected: "192.0.2.9:10000", Source: "192.0.2.9:10000"}
			r.Media = record.Media{A: side, B: side, MOS: 4.3}
			r.SynthflowCallID, r.ExternalID = "1745923187462x"+r.ID, "1745923187462x"+r.ID
			batch[i].text, err = textOf(&r)
			must(b, err)
			batch[i].id = r.ID
		}
		must(b, write(b.Context(), pool, batch, nil))
		records += len(batch)
	}
	b.ReportMetric(float64(records)/b.Elapsed().Seconds(), "records/s")
	var size, rows int64
	must(b, pool.QueryRow(b.Context(), `SELECT pg_total_relation_size('flowbridge_calls'), count(*) FROM flowbridge_calls`).Scan(&size, &rows))
	b.ReportMetric(float64(size)/float64(rows), "B/record")
}

// BenchmarkBeat makes heartbeats in a fleet of 20 nodes, and reports the time of each.
func BenchmarkBeat(b *testing.B) {
	pg := pgtest.Start(b, "fsync=on")
	pool, err := openPool(pg.Database(), "bench", 2)
	must(b, err)
	defer pool.Close()
	must(b, prepare(b.Context(), pool))
	for i, n := 0, 0; b.Loop(); n++ {
		i = n % 20
		m := member{id: string(rune('a' + i)), process: "p", name: "n", joined: n >= 20}
		_, err := m.beat(b.Context(), pool)
		must(b, err)
		_, err = membersOf(b.Context(), pool)
		must(b, err)
	}
}
