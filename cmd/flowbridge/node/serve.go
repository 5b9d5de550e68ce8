package node

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"flowbridge/config"
)

// gcPercent trades memory for the CPU that garbage collection takes from
// bursts of signalling; GOGC in the environment overrides it.
const gcPercent = 400

// Serve runs a configuration that was read from a file, until a signal or the
// admin API ends it.
func Serve(ctx context.Context, cfg *config.Config, file string, out *Log) error {
	log := out.Logger()
	o := &operator{file: file, log: log, out: out, supervisor: newSupervisor(log), asked: make(chan struct{})}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(signals)
	defer signal.Stop(hangups)

	n, err := Start(ctx, cfg, log, Options{operator: o})
	if err != nil {
		return err
	}
	o.begin(n)
	for _, l := range n.server.Listeners() {
		log.Info().Str("listen", l.String()).Msg("sip listening")
	}
	log.Info().Stringer("listen", n.apiAt).Msg("admin API listening")
	o.supervisor.ready("Taking calls")

	watched, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go o.supervisor.watch(watched, n.alive)
	go o.reloadOn(watched, hangups)
	o.drain(ctx, signals, o.untilTold(signals))
	if err := n.Close(); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	log.Info().Msg("stopped")
	return nil
}
