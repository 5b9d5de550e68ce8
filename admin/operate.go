package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Operator drains and reloads.
type Operator interface {
	// Drain refuses new calls from now on. It ends the process when the live calls are over, or at the limit. It may be
	// called again.
	Drain() (Drained, error)
	// Reload reads the configuration again. Its error is an *InvalidError if the file is not valid. After any error,
	// nothing has changed.
	Reload(ctx context.Context) (Reloaded, error)
	// Configuration shows the configuration in force and its file, without secrets.
	Configuration() (any, error)
	// Upgrade starts a new process from the program's file. The new process takes over the calls. After an error this
	// process continues as if Upgrade had not been called.
	Upgrade(ctx context.Context) (Upgraded, error)
}

// Upgraded is the answer to an upgrade.
type Upgraded struct {
	// PID is the process id of the new process.
	PID int `json:"pid"`
	// Version is the version of the new program.
	Version string `json:"version"`
	// Calls, Connections and Sockets count the parts that were handed over.
	Calls       int `json:"calls"`
	Connections int `json:"connections"`
	Sockets     int `json:"sockets"`
	// PauseMS is how long neither process handled messages.
	PauseMS int64 `json:"pause_ms"`
	// TookMS is how long the whole upgrade took.
	TookMS int64 `json:"took_ms"`
}

// Drained is the answer to a drain.
type Drained struct {
	// Calls is how many live calls are left.
	Calls int `json:"calls"`
	// LimitMS is how long they may continue, counted from the first drain.
	LimitMS int64 `json:"limit_ms"`
}

// Reloaded is the answer to a reload.
type Reloaded struct {
	// Trunks, Targets and Routes count the sections now in force. Numbers counts the numbers in the table.
	Trunks  int `json:"trunks"`
	Targets int `json:"targets"`
	Routes  int `json:"routes"`
	Numbers int `json:"numbers"`
	// NeedRestart lists the changed sections that take effect only after a restart.
	NeedRestart []string `json:"need_restart"`
}

// InvalidError says what is wrong with a configuration.
type InvalidError struct{ Problems []string } // one line each

func (*InvalidError) Error() string { return "the configuration is not valid" }

// operate serves POST to senders that may operate, and logs the sender.
func (a *api) operate(next http.HandlerFunc) http.HandlerFunc {
	return a.operateAs(func(w http.ResponseWriter, r *http.Request, _ sender) { next(w, r) })
}

// operateAs is like operate, for handlers that need the sender. methods are the methods other than POST.
func (a *api) operateAs(next func(http.ResponseWriter, *http.Request, sender), methods ...string) http.HandlerFunc {
	return a.allowed(RightsOperate, func(w http.ResponseWriter, r *http.Request, who sender) {
		if !a.isMethod(w, r, append([]string{http.MethodPost}, methods...)...) {
			return
		}
		if _, bad := parseQuery(r.URL.RawQuery); bad != nil {
			a.write(w, http.StatusBadRequest, bad)
			return
		}
		out := &noted{ResponseWriter: w}
		next(out, r, who)
		a.logged(r, who, out.status)
	})
}

// withoutFields serves an order that has no fields. Ignoring one would leave its sender believing that it took effect.
func (a *api) withoutFields(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := readBody(r, &struct{}{}); err != nil && !errors.Is(err, io.EOF) {
			status, problem := bodyProblem(err)
			a.fail(w, status, problem, "send no body: the order has no fields")
			return
		}
		next(w, r)
	}
}

// logged logs the sender, the request, and the status of the answer.
func (a *api) logged(r *http.Request, who sender, status int) {
	line := a.Log.Info().Str("by", who.name).Str("src", source(r)).Str("path", cut(r.URL.Path)).Int("code", status)
	if id := r.PathValue("id"); id != "" {
		line.Str("call", cut(id))
	}
	line.Msg("operator request")
}

// cut shortens a client's text for the log.
func cut(s string) string { return s[:min(len(s), maxLogged)] }

// maxLogged bounds a client's text in the log, in bytes.
const maxLogged = 128

// noted is an answer that records its status.
type noted struct {
	http.ResponseWriter

	status int
}

// WriteHeader records the status.
func (n *noted) WriteHeader(status int) {
	n.status = status
	n.ResponseWriter.WriteHeader(status)
}

// Unwrap returns the underlying writer to http.ResponseController.
func (n *noted) Unwrap() http.ResponseWriter { return n.ResponseWriter }

func (a *api) drain(w http.ResponseWriter, _ *http.Request) {
	d, err := a.Operator.Drain()
	if err != nil {
		a.fail(w, http.StatusConflict, "not draining: "+err.Error(), "try again, or see the log")
		return
	}
	a.write(w, http.StatusAccepted, d)
}

func (a *api) upgrade(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(upgradeTimeout)) // not every ResponseWriter has one
	done, err := a.Operator.Upgrade(r.Context())
	if err != nil {
		a.fail(w, http.StatusConflict, "not upgraded: "+err.Error(), "this process goes on; see the log, and try again")
		return
	}
	a.write(w, http.StatusOK, done)
}

// upgradeTimeout bounds an upgrade, including the time to read its answer.
const upgradeTimeout = time.Minute

func (a *api) reload(w http.ResponseWriter, r *http.Request) {
	done, err := a.Operator.Reload(r.Context())
	var bad *InvalidError
	switch {
	case errors.As(err, &bad):
		a.write(w, http.StatusUnprocessableEntity, &invalid{
			failure{bad.Error() + ": nothing has changed", "mend what problems lists, and reload again"}, bad.Problems,
		})
	case err != nil:
		a.fail(w, http.StatusConflict, "not reloaded: "+err.Error(), "try again, or see the log")
	default:
		if done.NeedRestart == nil {
			done.NeedRestart = []string{}
		}
		a.write(w, http.StatusOK, done)
	}
}

func (a *api) configuration(w http.ResponseWriter, _ *http.Request) {
	c, err := a.Operator.Configuration()
	if err != nil {
		a.fail(w, http.StatusConflict, "no configuration is in force: "+err.Error(), "try again, or see the log")
		return
	}
	a.write(w, http.StatusOK, c)
}
