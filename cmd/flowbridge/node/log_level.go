package node

import (
	"time"

	"github.com/rs/zerolog"

	"flowbridge/admin"
	"flowbridge/store/record"
)

// change is a temporary level.
type change struct {
	until time.Time
	back  *time.Timer
}

// SetLevel changes the level for a while. A reload of the configuration also ends the change.
func (l *Log) SetLevel(level zerolog.Level, during time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.endChange()
	until := time.Now().Add(during)
	changed := &change{until: until}
	changed.back = time.AfterFunc(during, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.changed == changed {
			l.endChange()
			l.sayLevel(zerolog.Level(l.level.Load()), time.Time{})
		}
	})
	l.changed = changed
	l.level.Store(int32(level))
	l.sayLevel(level, until)
}

// endChange restores the configured level. The caller holds the lock.
func (l *Log) endChange() {
	if l.changed != nil {
		l.changed.back.Stop()
		l.changed = nil
	}
	l.level.Store(int32(l.configured))
}

// sayLevel logs the level, whatever the level is: the line itself has no level.
func (l *Log) sayLevel(level zerolog.Level, until time.Time) {
	log := l.Logger()
	line := log.Log().Str("level", zerolog.InfoLevel.String()).Stringer("log_level", level)
	if !until.IsZero() {
		line.Str("until", record.TimeOf(until).String())
	}
	line.Msg("log level changed")
}

// Level returns the current level, the configured level, and the time until which they differ.
func (l *Log) Level() (now, configured zerolog.Level, until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.changed != nil {
		until = l.changed.until
	}
	return zerolog.Level(l.level.Load()), l.configured, until
}

// LogLevel implements the admin API's request for the level.
func (l *Log) LogLevel() admin.LogLevel {
	now, configured, until := l.Level()
	return admin.LogLevel{Level: now.String(), Configured: configured.String(), Until: record.TimeOf(until)}
}

// SetLogLevel implements the admin API's request to change the level.
func (l *Log) SetLogLevel(level string, during time.Duration) admin.LogLevel {
	if to, err := zerolog.ParseLevel(level); err == nil {
		l.SetLevel(to, during)
	}
	return l.LogLevel()
}
