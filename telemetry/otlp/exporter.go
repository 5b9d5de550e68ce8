package otlp

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"flowbridge/internal/rest"
	"flowbridge/store/record"
)

const (
	maxWaiting = 4096             // calls; further ones are dropped
	maxBatch   = 100              // calls in one request
	batchEvery = time.Second      // how long a call waits for further calls
	timeout    = 10 * time.Second // time limit for a request
	retryFor   = 30 * time.Second // how long sending a batch is retried
	retryPause = time.Second
	warnEvery  = time.Minute
	closeAfter = 3 * time.Second // how long Close keeps sending
	maxAnswer  = 64 << 10        // bytes of a collector's answer
	maxReason  = 200             // bytes of the answer in the log
)

// Options say where the traces are sent.
type Options struct {
	Endpoint string // the whole URL
	Token    string // a bearer token; may be empty
	Node     string // service.instance.id; may be empty
	Version  string // service.version
	Log      zerolog.Logger

	transport http.RoundTripper // if nil, the network is used
}

// Exporter sends the traces of finished calls. Any number of goroutines may use it.
type Exporter struct {
	o       Options
	idle    func() // closes connections
	out     *otlptrace.Exporter
	tracer  trace.Tracer
	made    *collected
	waiting chan record.Record
	closing chan struct{}
	done    chan struct{}
	stopped atomic.Bool

	exported, dropped atomic.Uint64 // calls

	// Owned by run.
	status   int // status of the last answer; 0 if there was none
	warned   time.Time
	reported uint64 // part of dropped that was logged
	broken   bool
}

// New starts the exporter. It does not use the network yet.
func New(o Options) (*Exporter, error) {
	e := &Exporter{
		o: o, made: &collected{}, idle: func() {}, waiting: make(chan record.Record, maxWaiting),
		closing: make(chan struct{}), done: make(chan struct{}),
	}
	if o.transport == nil {
		network := &http.Transport{
			Proxy: http.ProxyFromEnvironment, MaxIdleConns: 1, IdleConnTimeout: 30 * time.Second,
			TLSHandshakeTimeout: timeout,
		}
		e.idle, o.transport = network.CloseIdleConnections, network
	}
	client := &http.Client{
		Transport: answers{o.transport, e},
		// Redirects are not followed, because the token would go elsewhere.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	options := []otlptracehttp.Option{
		otlptracehttp.WithEndpointURL(o.Endpoint), otlptracehttp.WithHTTPClient(client),
		otlptracehttp.WithHeaders(o.headers()),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression),
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf),
		// run repeats requests itself.
		otlptracehttp.WithMaxResponseSize(maxAnswer), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}),
	}
	var err error
	if e.out, err = otlptracehttp.New(context.Background(), options...); err != nil {
		return nil, fmt.Errorf("telemetry.otlp: %w", err)
	}
	about := []attribute.KeyValue{
		attribute.String("service.name", "flowbridge"),
		attribute.String("service.version", o.Version),
	}
	if o.Node != "" {
		about = append(about, attribute.String("service.instance.id", o.Node))
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithIDGenerator(ids{}),
		sdktrace.WithResource(resource.NewSchemaless(about...)), sdktrace.WithSpanProcessor(e.made))
	e.tracer = provider.Tracer("flowbridge")
	go e.run()
	return e, nil
}

func (o *Options) headers() map[string]string {
	if o.Token == "" {
		return map[string]string{}
	}
	return map[string]string{"Authorization": "Bearer " + o.Token}
}

// answers records the status of each answer.
type answers struct {
	http.RoundTripper
	to *Exporter
}

// RoundTrip sends a request. Only run sends requests.
func (a answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.to.status = 0
	res, err := a.RoundTripper.RoundTrip(r)
	if err == nil {
		rest.WithoutUpgrade(res)
		a.to.status = res.StatusCode
	}
	return res, err
}

// Changed does nothing, because spans are made after the end of a call.
func (*Exporter) Changed(record.Record) {}

// Ended queues a finished call. It does not block: if there is no room, the call is dropped.
func (e *Exporter) Ended(r record.Record) {
	if t := traceOfRecord(&r); !t.Sampled() {
		return
	}
	if !e.stopped.Load() {
		select {
		case e.waiting <- r:
			return
		default:
		}
	}
	e.dropped.Add(1)
}

// Exported returns how many calls' spans the collector has taken.
func (e *Exporter) Exported() uint64 { return e.exported.Load() }

// Dropped returns how many calls' spans were lost because the collector was away or slow, or refused them.
func (e *Exporter) Dropped() uint64 { return e.dropped.Load() }

// Close sends the waiting calls, for at most three seconds, and stops.
func (e *Exporter) Close() error {
	if !e.stopped.Swap(true) {
		close(e.closing)
	}
	<-e.done
	return nil
}

// run makes the spans and sends them.
func (e *Exporter) run() {
	defer close(e.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-e.closing
		time.AfterFunc(closeAfter, cancel)
	}()
	defer e.idle()
	for {
		batch, last := e.next()
		if len(batch) > 0 {
			e.send(ctx, batch)
		}
		e.warn(nil)
		if last {
			return
		}
	}
}

// next returns the calls of one request: the calls that come within a second after the first. last reports that no more
// will come.
func (e *Exporter) next() (batch []record.Record, last bool) {
	select {
	case r := <-e.waiting:
		batch = append(batch, r)
	case <-e.closing:
	}
	timer := time.NewTimer(batchEvery)
	defer timer.Stop()
	for len(batch) < maxBatch {
		select {
		case <-e.closing: // sends the waiting calls at once
			select {
			case r := <-e.waiting:
				batch = append(batch, r)
				continue
			default:
				return batch, true
			}
		default:
		}
		select {
		case r := <-e.waiting:
			batch = append(batch, r)
		case <-timer.C:
			return batch, false
		case <-e.closing:
		}
	}
	return batch, false
}

// send sends a batch, and retries while the collector is away, until the batch is too old.
func (e *Exporter) send(ctx context.Context, batch []record.Record) {
	e.made.spans = e.made.spans[:0]
	for i := range batch {
		makeSpans(e.tracer, &batch[i])
	}
	begun, pause := time.Now(), retryPause
	for {
		bounded, cancel := context.WithTimeout(ctx, timeout)
		err := e.out.ExportSpans(bounded, e.made.spans)
		cancel()
		if err == nil {
			e.exported.Add(uint64(len(batch)))
			if e.broken {
				e.o.Log.Info().Msg("collector reachable again")
			}
			e.broken = false
			return
		}
		e.warn(err)
		if !e.again() || time.Since(begun) > retryFor || !e.wait(ctx, pause) {
			e.dropped.Add(uint64(len(batch)))
			return
		}
		pause = min(2*pause, 8*retryPause)
	}
}

// again reports whether the last request is worth a retry: the collector did not answer, or could not take it at the
// time.
func (e *Exporter) again() bool {
	return e.status == 0 || e.status == http.StatusRequestTimeout || e.status == http.StatusTooManyRequests ||
		e.status >= 500
}

// wait waits for a duration. It returns false once the exporter is closing.
func (e *Exporter) wait(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.closing:
	case <-ctx.Done():
	}
	return false
}

// warn logs problems with the collector, and dropped calls, at most once a minute.
func (e *Exporter) warn(err error) {
	dropped := e.dropped.Load()
	if err != nil {
		e.broken = true
	}
	if (err == nil && dropped == e.reported) || (!e.warned.IsZero() && time.Since(e.warned) < warnEvery) {
		return
	}
	e.warned = time.Now()
	line := e.o.Log.Warn().Uint64("dropped_calls", dropped-e.reported)
	e.reported = dropped
	if err != nil {
		line = line.Str("error", reasonOf(err))
	}
	line.Msg("can't deliver spans to the collector")
}

// reasonOf returns an error's text for the log, with a long text of the collector cut off.
func reasonOf(err error) string {
	if errors.Is(err, context.DeadlineExceeded) {
		return "no answer in time"
	}
	text := strings.ToValidUTF8(err.Error(), "")
	return strings.ToValidUTF8(text[:min(len(text), maxReason)], "")
}
