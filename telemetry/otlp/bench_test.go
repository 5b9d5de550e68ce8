package otlp

import (
	"testing"

	"github.com/rs/zerolog"
)

// BenchmarkEnded measures what a finished call costs the goroutine that ends it.
func BenchmarkEnded(b *testing.B) {
	e, err := New(Options{Endpoint: "http://127.0.0.1:1/v1/traces", Log: zerolog.Nop(), transport: roundTrip(nil)})
	if err != nil {
		b.Fatal(err)
	}
	_ = e.Close()
	e.stopped.Store(false) // only the benchmark empties the queue
	r := answered()
	b.ReportAllocs()
	for b.Loop() {
		e.Ended(r)
		<-e.waiting
	}
}

// BenchmarkSpans measures what the spans of a call cost the exporter, without the HTTP
// request.
func BenchmarkSpans(b *testing.B) {
	e, err := New(Options{Endpoint: "http://127.0.0.1:1/v1/traces", Log: zerolog.Nop(), transport: roundTrip(nil)})
	if err != nil {
		b.Fatal(err)
	}
	_ = e.Close()
	r := answered()
	b.ReportAllocs()
	for b.Loop() {
		e.made.spans = e.made.spans[:0]
		makeSpans(e.tracer, &r)
	}
}
