package httpd

import (
	"bytes"
	stdlog "log"
	"time"

	"github.com/rs/zerolog"
)

// maxStrange is the number of log lines per minute and kind that unauthenticated requests can cause.
const maxStrange = 10

// Strangers returns a logger for unauthenticated requests. It logs ten lines a minute and drops the rest. Each logger
// that it returns counts separately.
func Strangers(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: maxStrange, Period: time.Minute})
}

// ErrorLog is for http.Server.ErrorLog. It logs connection problems, such as failed TLS handshakes, as warnings, with
// the limit of Strangers.
func ErrorLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(lines{Strangers(log)}, "", 0)
}

// TakeStandardLog redirects the standard library's own log lines to this log, with the limit of ErrorLog. For example,
// an HTTP client logs unsolicited answers of a server, including their text.
func TakeStandardLog(log zerolog.Logger) {
	stdlog.SetFlags(0)
	stdlog.SetOutput(ErrorLog(log).Writer())
}

// maxLine bounds the length of a server's log line, in bytes. The line for a panic includes the stack.
const maxLine = 2048

type lines struct{ log zerolog.Logger }

func (l lines) Write(p []byte) (int, error) {
	l.log.Warn().Bytes("detail", bytes.TrimSpace(p[:min(len(p), maxLine)])).Msg("http server")
	return len(p), nil
}
