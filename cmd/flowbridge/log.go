package main

import (
	"io"
	"os"
	"sync/atomic"

	"github.com/rs/zerolog"

	"flowbridge/config"
)

// liveLog is where a log goes and what of it: both may change while it is
// written. It is the writer and the sampler of a logger.
type liveLog struct {
	file  *os.File
	level atomic.Int32
	out   atomic.Pointer[io.Writer]
}

// newLog gives a logger that l can change afterwards.
func newLog(cfg config.Log, file *os.File) (*liveLog, zerolog.Logger) {
	l := &liveLog{file: file}
	l.set(cfg)
	return l, zerolog.New(l).Sample(l).With().Timestamp().Logger()
}

// set makes everything from now on as the configuration says.
func (l *liveLog) set(cfg config.Log) {
	out := logWriter(cfg, l.file)
	l.out.Store(&out)
	l.level.Store(int32(logLevel(cfg)))
}

// Sample says whether an event of this level is written.
func (l *liveLog) Sample(level zerolog.Level) bool { return level >= zerolog.Level(l.level.Load()) }

// Write passes an event on.
func (l *liveLog) Write(p []byte) (int, error) { return (*l.out.Load()).Write(p) }

// logger writes to w as the configuration says.
func logger(cfg config.Log, w *os.File) zerolog.Logger {
	return zerolog.New(logWriter(cfg, w)).Level(logLevel(cfg)).With().Timestamp().Logger()
}

func logLevel(cfg config.Log) zerolog.Level {
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		return zerolog.InfoLevel // the configuration was checked
	}
	return level
}

func logWriter(cfg config.Log, w *os.File) io.Writer {
	if cfg.Format != config.FormatConsole {
		return w
	}
	info, err := w.Stat()
	return zerolog.ConsoleWriter{
		Out: w, TimeFormat: "15:04:05.000", NoColor: err != nil || info.Mode()&os.ModeCharDevice == 0,
	}
}
