package node

import (
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"flowbridge/config"
	"flowbridge/telemetry"
)

// Log is the writer and the sampler of a logger. Its level and format may be changed while it is in
// use.
type Log struct {
	file  *os.File
	lines *lines       // writes to file
	level atomic.Int32 // in force
	out   atomic.Pointer[io.Writer]

	mu         sync.Mutex // guards the fields below, and changes of level
	configured zerolog.Level
	changed    *change // nil while the configured level is in force
}

// NewLog returns a log that writes to a file.
func NewLog(cfg config.Log, file *os.File) *Log {
	l := &Log{file: file, lines: linesTo(file)}
	l.set(cfg)
	return l
}

// Logger returns a logger that writes to the log.
func (l *Log) Logger() zerolog.Logger {
	return zerolog.New(l).Sample(l).With().Timestamp().Logger()
}

func (l *Log) set(cfg config.Log) {
	out := logWriter(cfg, l.file, l.lines)
	l.out.Store(&out)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured = logLevel(cfg)
	l.endChange()
}

// Sample reports whether an event is written.
func (l *Log) Sample(level zerolog.Level) bool { return level >= zerolog.Level(l.level.Load()) }

// Write writes an event.
func (l *Log) Write(p []byte) (int, error) { return (*l.out.Load()).Write(p) }

// Console returns a logger for people, on standard error.
func Console(level zerolog.Level) zerolog.Logger {
	return zerolog.New(console(os.Stderr, os.Stderr)).Level(level).With().Timestamp().Logger()
}

func logLevel(cfg config.Log) zerolog.Level {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.InfoLevel // can't happen: the configuration was checked
	}
	return level
}

func logWriter(cfg config.Log, file *os.File, out io.Writer) io.Writer {
	if cfg.Format == config.FormatConsole {
		return console(file, out)
	}
	return out
}

// console writes lines for people, with colours on a terminal.
func console(file *os.File, out io.Writer) io.Writer {
	info, err := file.Stat()
	return zerolog.ConsoleWriter{
		Out: out, TimeFormat: "15:04:05.000", NoColor: err != nil || info.Mode()&os.ModeCharDevice == 0,
	}
}

// logWarnings logs settings that are valid but probably a mistake, like the command check.
func logWarnings(cfg *config.Config, log zerolog.Logger) {
	for _, w := range cfg.Warnings {
		log.Warn().Int("line", w.Line).Str("key", w.Path).Str("problem", w.Problem).Str("remedy", w.Remedy).
			Msg("configuration warning")
	}
}

// underway yields the current write of the log. Each write has a different number.
func (l *Log) underway(yield func(what string, step uint64)) {
	l.lines.mu.Lock()
	defer l.lines.mu.Unlock()
	if l.lines.writing {
		yield("writer", l.lines.steps)
	}
}

// gauges adds the figures of the log.
func (l *Log) gauges(add telemetry.Add) {
	dropped, _ := l.lines.state()
	add("log_dropped_total", "Lines of the log that were left out, because nobody took them.", float64(dropped))
}
