package httpd

import (
	"bytes"
	stdlog "log"
	"time"

	"github.com/rs/zerolog"
)

// maxStrange is the number of log lines per minute and kind that unauthenticated requests can cause.
const maxStrange = 10

// Strangers returns a logger for unauthenticated requests: ten lines a minute, the rest is dropped. Each logger that it
// returns has its own count.
func Strangers(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: maxStrange, Period: time.Minute})
}

// ErrorLog is for http.Server.ErrorLog. It logs connection problems, such as failed TLS handshakes, as warnings, with
// the limit of Strangers.
func ErrorLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(lines{Strangers(log)}, "", 0)
}

// TakeStandardLog redirects the standard library's own log lines to this log, with the limit of ErrorLog. For example,
// an HTTP client logs unsolicited answers of a server, with their text.
func TakeStandardLog(log zerolog.Logger) {
	stdlog.SetFlags(0)
	stdlog.SetOutput(ErrorLog(log).Writer())
}

// maxLine bounds a line of a server, in bytes; a panic's line includes the stack.
const maxLine = 2048

type lines struct{ log zerolog.Logger }

func (l lines) Write(p []byte) (int, error) {
	l.log.Warn().Bytes("detail", bytes.TrimSpace(p[:min(len(p), maxLine)])).Msg("http server")
	return len(p), nil
}
