package node

import (
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/rs/zerolog"

	"flowbridge/config"
)

// Log is the writer and the sampler of a logger. Its level and format may change while it is in use.
type Log struct {
	file  *os.File
	level atomic.Int32 // in force
	out   atomic.Pointer[io.Writer]

	mu         sync.Mutex // guards what follows, and changes of level
	configured zerolog.Level
	changed    *change // nil: the configured level is in force
}

// NewLog is a log that writes to a file.
func NewLog(cfg config.Log, file *os.File) *Log {
	l := &Log{file: file}
	l.set(cfg)
	return l
}

// Logger writes to the log.
func (l *Log) Logger() zerolog.Logger {
	return zerolog.New(l).Sample(l).With().Timestamp().Logger()
}

func (l *Log) set(cfg config.Log) {
	out := logWriter(cfg, l.file)
	l.out.Store(&out)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.configured = logLevel(cfg)
	l.endChange()
}

// Sample says whether an event is written.
func (l *Log) Sample(level zerolog.Level) bool { return level >= zerolog.Level(l.level.Load()) }

// Write writes an event.
func (l *Log) Write(p []byte) (int, error) { return (*l.out.Load()).Write(p) }

// Console is a logger for people, on standard error.
func Console(level zerolog.Level) zerolog.Logger {
	return zerolog.New(console(os.Stderr)).Level(level).With().Timestamp().Logger()
}

func logLevel(cfg config.Log) zerolog.Level {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.InfoLevel // the configuration was checked
	}
	return level
}

func logWriter(cfg config.Log, w *os.File) io.Writer {
	if cfg.Format == config.FormatConsole {
		return console(w)
	}
	return w
}

// console writes lines for people, with colours on a terminal.
func console(w *os.File) io.Writer {
	info, err := w.Stat()
	return zerolog.ConsoleWriter{
		Out: w, TimeFormat: "15:04:05.000", NoColor: err != nil || info.Mode()&os.ModeCharDevice == 0,
	}
}

// logWarnings logs what the configuration says that is hardly meant, as check shows it.
func logWarnings(cfg *config.Config, log zerolog.Logger) {
	for _, w := range cfg.Warnings {
		log.Warn().Int("line", w.Line).Str("key", w.Path).Str("problem", w.Problem).Str("remedy", w.Remedy).Msg("configuration warning")
	}
}
