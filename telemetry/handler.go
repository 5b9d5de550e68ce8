package telemetry

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	dto "github.com/prometheus/client_model/go"
	"github.com/rs/zerolog"
)

const (
	// freshFor is how long an answer is reused.
	freshFor = time.Second
	// maxScrapes limits the answers that are written at the same time. Further scrapes get 503, which Prometheus shows as
	// up == 0.
	maxScrapes = 8
)

// Handler serves GET /metrics.
func (m *Metrics) Handler(log zerolog.Logger) http.Handler {
	return promhttp.HandlerFor(&recent{from: m.registry}, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		ErrorLog:            errorLog{log.Sample(&zerolog.BurstSampler{Burst: 1, Period: time.Minute})},
		MaxRequestsInFlight: maxScrapes,
		DisableCompression:  true, // compression would cost more than everything else
	})
}

// recent caches the metrics of the last moment.
type recent struct {
	from prometheus.Gatherer // constant

	mu  sync.Mutex // guards the fields below; held while gathering, so that one scrape gathers for all
	at  time.Time
	got []*dto.MetricFamily
	err error
}

// Gather returns the metrics. The caller must not change them.
func (r *recent) Gather() ([]*dto.MetricFamily, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := time.Now(); r.at.IsZero() || now.Sub(r.at) >= freshFor {
		r.got, r.err = r.from.Gather()
		r.at = now
	}
	return r.got, r.err
}

// errorLog logs promhttp's errors. An error means a wrong metric, which is a fault of Flowbridge. It logs at most a
// line a minute.
type errorLog struct{ log zerolog.Logger }

// Println logs a line.
func (e errorLog) Println(v ...any) {
	e.log.Warn().Str("problem", strings.TrimSpace(fmt.Sprintln(v...))).Msg("metrics incomplete")
}
