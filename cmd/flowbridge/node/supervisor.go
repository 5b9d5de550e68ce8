package node

import (
	"context"
	"fmt"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/rs/zerolog"

	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/internal/periodic"
)

// supervisor reports the state of the process to systemd (Type=notify or notify-reload). Without systemd it does
// nothing.
type supervisor struct {
	log    zerolog.Logger
	notify func(state string) error
	every  time.Duration // interval at which the supervisor expects a sign of life; 0 for never
}

func newSupervisor(log zerolog.Logger) *supervisor {
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn().Err(err).Msg("can't read the watchdog's interval: not notifying it")
	}
	return &supervisor{log: log, every: every, notify: func(state string) error {
		_, err := daemon.SdNotify(false, state)
		return err
	}}
}

func (s *supervisor) tell(state string) {
	if err := s.notify(state); err != nil {
		s.log.Warn().Err(err).Msg("the supervisor can't be reached: see NOTIFY_SOCKET")
	}
}

func (s *supervisor) ready(status string) {
	s.tell(daemon.SdNotifyReady + "\nSTATUS=" + status)
}

// reloading reports that a reload has begun. ready must follow.
func (s *supervisor) reloading() {
	s.tell(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec() + "STATUS=Reading the configuration")
}

// replaced reports that another process is the service from now on. The supervisor ignores later messages of
// this process.
func (s *supervisor) replaced(pid int) {
	s.tell(fmt.Sprintf("MAINPID=%d\n%s\nSTATUS=Taking calls; upgraded", pid, daemon.SdNotifyReady))
}

// stopping reports the number of calls that are still up, and asks for time for them.
func (s *supervisor) stopping(calls int, within time.Duration) {
	s.tell(fmt.Sprintf("%s\nSTATUS=Draining: %s\nEXTEND_TIMEOUT_USEC=%d",
		daemon.SdNotifyStopping, cli.CallsLeft(calls), within.Microseconds()))
}

// watch sends a sign of life twice per interval while alive returns no error. It returns when ctx ends.
func (s *supervisor) watch(ctx context.Context, alive func(context.Context) error) {
	if s.every <= 0 {
		return
	}
	periodic.Run(ctx, s.every/2, func() {
		bounded, cancel := context.WithTimeout(ctx, s.every/4)
		defer cancel()
		switch err := alive(bounded); {
		case ctx.Err() != nil: // the process stops
		case err != nil:
			s.log.Error().Err(err).Msg("the process hangs: not notifying the watchdog")
		default:
			s.tell(daemon.SdNotifyWatchdog)
		}
	})
}
