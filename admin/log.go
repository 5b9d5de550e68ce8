package admin

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"flowbridge/store/record"
)

// LogLevel describes the log level.
type LogLevel struct {
	// Level is the level in force, and Configured is the level in the configuration: debug, info, warn
	// or error.
	Level      string `json:"level"`
	Configured string `json:"configured"`
	// Until is when Configured applies again. It is zero, and null in JSON, if it applies now.
	Until record.Time `json:"until"`
}

// Leveller shows and changes the log level.
type Leveller interface {
	LogLevel() LogLevel
	// SetLogLevel changes the level for a while. level must be one of LogLevels.
	SetLogLevel(level string, during time.Duration) LogLevel
}

// LogLevels returns the levels, the most verbose first.
func LogLevels() []string { return []string{"debug", "info", "warn", "error"} }

// The default and the maximum duration of a changed level.
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
