package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"flowbridge/config"
)

// A level that is changed counts for a while, and says so whatever it is. A reload ends it.
func TestLogLevel(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "log"))
	must(t, err)
	defer file.Close()
	synctest.Test(t, func(t *testing.T) {
		l := NewLog(config.Log{Level: "info"}, file)
		log := l.Logger()
		logs := func(want string) {
			t.Helper()
			before := len(read(t, file.Name()))
			log.Debug().Msg("D")
			log.Info().Msg("I")
			log.Error().Msg("E")
			got := ""
			for _, m := range []string{"D", "I", "E"} {
				if strings.Contains(read(t, file.Name())[before:], `"message":"`+m+`"`) {
					got += m
				}
			}
			if got != want {
				t.Errorf("logged %q; want %q", got, want)
			}
		}
		logs("IE")
		if got := l.SetLogLevel("debug", 10*time.Minute); got.Level != "debug" || got.Configured != "info" || !got.Until.Equal(time.Now().Add(10*time.Minute)) {
			t.Errorf("got %+v", got)
		}
		logs("DIE")
		time.Sleep(9 * time.Minute)
		l.SetLogLevel("error", 10*time.Minute)
		logs("E")
		time.Sleep(2 * time.Minute) // the first change would end here
		logs("E")
		time.Sleep(9 * time.Minute)
		logs("IE")
		if got := l.LogLevel(); got.Level != "info" || !got.Until.IsZero() {
			t.Errorf("afterwards: %+v", got)
		}
		l.SetLogLevel("debug", time.Hour)
		l.set(config.Log{Level: "warn"}) // a reload
		logs("E")
		time.Sleep(2 * time.Hour)
		logs("E")
		if got := strings.Count(read(t, file.Name()), `"message":"log level changed"`); got != 4 {
			t.Errorf("%d lines; want 4: three changes and one end", got)
		}
	})
}
