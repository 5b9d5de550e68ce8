package node

import (
	"io"
	"os"
	"sync/atomic"

	"github.com/rs/zerolog"

	"flowbridge/config"
)

// Log is where a log goes and what of it: both may change while it is
// written. It is the writer and the sampler of a logger.
type Log struct {
	file  *os.File
	level atomic.Int32
	out   atomic.Pointer[io.Writer]
}

// NewLog gives a log that goes to a file.
func NewLog(cfg config.Log, file *os.File) *Log {
	l := &Log{file: file}
	l.set(cfg)
	return l
}

// Logger writes to the log.
func (l *Log) Logger() zerolog.Logger {
	return zerolog.New(l).Sample(l).With().Timestamp().Logger()
}

// set makes everything from now on as the configuration says.
func (l *Log) set(cfg config.Log) {
	out := logWriter(cfg, l.file)
	l.out.Store(&out)
	l.level.Store(int32(logLevel(cfg)))
}

// Sample says whether an event of this level is written.
func (l *Log) Sample(level zerolog.Level) bool { return level >= zerolog.Level(l.level.Load()) }

// Write passes an event on.
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
