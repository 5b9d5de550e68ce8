package httpd

import (
	"bytes"
	stdlog "log"
	"time"

	"github.com/rs/zerolog"
)

// maxStrange is how many lines a minute strangers can cause by one kind of
// thing that they do.
const maxStrange = 10

// Strangers is a logger for what anybody can cause: ten lines a minute, the
// rest is left out. Each call gives one with a count of its own.
func Strangers(log zerolog.Logger) zerolog.Logger {
	return log.Sample(&zerolog.BurstSampler{Burst: maxStrange, Period: time.Minute})
}

// ErrorLog is for http.Server.ErrorLog: what the server says of connections,
// such as TLS handshakes that fail, as warnings, as many as of strangers.
func ErrorLog(log zerolog.Logger) *stdlog.Logger {
	return stdlog.New(lines{Strangers(log)}, "", 0)
}

// maxLine bounds a line of a server, in bytes; a panic's has the stack.
const maxLine = 2048

type lines struct{ log zerolog.Logger }

func (l lines) Write(p []byte) (int, error) {
	l.log.Warn().Bytes("detail", bytes.TrimSpace(p[:min(len(p), maxLine)])).Msg("http server")
	return len(p), nil
}
