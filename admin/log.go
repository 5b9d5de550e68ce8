package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"flowbridge/store/record"
)

// LogLevel is how much is logged.
type LogLevel struct {
	// Level is in force, Configured is that of the configuration: debug, info, warn or error.
	Level      string `json:"level"`
	Configured string `json:"configured"`
	// Until is when Configured is in force again; zero, and null in JSON, where it is.
	Until record.Time `json:"until"`
}

// Leveller shows and changes how much is logged.
type Leveller interface {
	LogLevel() LogLevel
	// SetLogLevel changes the level for a while. It is one of LogLevels.
	SetLogLevel(level string, during time.Duration) LogLevel
}

// LogLevels lists the levels, the one that logs most first.
func LogLevels() []string { return []string{"debug", "info", "warn", "error"} }

// How long a changed level lasts if nothing else is asked for, and at most.
const (
	defaultLevelFor = 10 * time.Minute
	maxLevelFor     = 24 * time.Hour
)

// showOrChange serves a path that has both GET and POST.
func (a *api) showOrChange(show, change http.HandlerFunc) http.HandlerFunc {
	neither := a.allowed(RightsRead, func(w http.ResponseWriter, r *http.Request, _ sender) {
		a.isMethod(w, r, http.MethodGet, http.MethodHead, http.MethodPost)
	})
	return func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodPost:
			change(w, r)
		case http.MethodGet, http.MethodHead:
			show(w, r)
		default:
			neither(w, r)
		}
	}
}

func (a *api) setLogLevel(w http.ResponseWriter, r *http.Request) {
	var body struct {
		Level string `json:"level"`
		For   string `json:"for"`
	}
	const remedy = `send {"level": "debug", "for": "10m"}; for may be left out`
	if !a.body(w, r, &body, remedy) {
		return
	}
	if !slices.Contains(LogLevels(), body.Level) {
		a.fail(w, http.StatusBadRequest, "level is unknown: "+quoted(body.Level),
			"use one of "+strings.Join(LogLevels(), ", "))
		return
	}
	during := defaultLevelFor
	if body.For != "" {
		var err error
		if during, err = time.ParseDuration(body.For); err != nil || during <= 0 || during > maxLevelFor {
			a.fail(w, http.StatusBadRequest, "for is not a time of at most 24h: "+quoted(body.For),
				"write one like 10m, or leave it out")
			return
		}
	}
	a.write(w, http.StatusOK, a.Leveller.SetLogLevel(body.Level, during))
}
