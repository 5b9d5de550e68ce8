package httpd

import (
	"bytes"
	stdlog "log"
	"time"

	"github.com/rs/zerolog"
)

// maxStrange is the number of log lines per minute and kind that unauthenticated requests can cause.
const maxStrange = 10

// Strangers is a logger for unauthenticated requests: ten lines a minute, the rest is dropped. Each call gives a logger
// with its own count.
func Strangers(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: maxStrange, Period: time.Minute})
}

// ErrorLog is for http.Server.ErrorLog. It logs problems of connections, such as failed TLS handshakes, as warnings, as
// many as Strangers does.
func ErrorLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(lines{Strangers(log)}, "", 0)
}

// TakeStandardLog has what the standard library logs by itself become lines of this log, as many as ErrorLog's. An HTTP
// client, for example, writes there that a server sent an answer that nobody had asked for, with its text.
func TakeStandardLog(log zerolog.Logger) {
	stdlog.SetFlags(0)
	stdlog.SetOutput(ErrorLog(log).Writer())
}

// maxLine bounds a line of a server, in bytes; a panic's line has the stack.
const maxLine = 2048

type lines struct{ log zerolog.Logger }

func (l lines) Write(p []byte) (int, error) {
	l.log.Warn().Bytes("detail", bytes.TrimSpace(p[:min(len(p), maxLine)])).Msg("http server")
	return len(p), nil
}
