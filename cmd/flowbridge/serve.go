package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/spf13/cobra"

	"flowbridge/config"
)

// gcPercent trades memory for the CPU that garbage collection takes from
// bursts of signalling; GOGC in the environment overrides it.
const gcPercent = 400

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the B2BUA",
		Long: "Run the B2BUA until SIGTERM or SIGINT. The first signal refuses new calls and lets the others go on\n" +
			"for up to sip.drain_timeout; a second one ends them at once, with their records written. SIGHUP reads the\n" +
			"configuration anew: trunks, targets, routes and log count at once, the rest after a restart. Under systemd,\n" +
			"Type=notify-reload is understood (docs/operations.md).",
		Example: "  flowbridge serve --config flowbridge.yaml",
		Args:    usage(cobra.NoArgs),
	}
	file := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := config.Load(*file)
		if err != nil {
			return err
		}
		out, log := newLog(cfg.Log, os.Stderr)
		log.Info().Str("config", *file).Str("version", programVersion()).Int("trunks", len(cfg.Trunks)).
			Int("targets", len(cfg.Targets)).Int("routes", len(cfg.Routes)).Msg("configuration loaded")
		if len(cfg.Trunks) == 0 || len(cfg.Routes) == 0 {
			log.Warn().Msg("no trunks or no routes: no call can get through")
		}
		thisMachine().warnOfPorts(cfg, log)
		return serve(c.Context(), cfg, &operator{
			file: *file, log: log, out: out, supervisor: newSupervisor(log), asked: make(chan struct{}),
		})
	}
	return c
}

func serve(ctx context.Context, cfg *config.Config, o *operator) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	signals, hangups := make(chan os.Signal, 2), make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(signals)
	defer signal.Stop(hangups)

	n, err := startNode(ctx, cfg, o.log, wiring{operator: o})
	if err != nil {
		return err
	}
	o.begin(n)
	for _, l := range n.server.Listeners() {
		o.log.Info().Str("listen", l.String()).Msg("sip listening")
	}
	o.log.Info().Stringer("listen", n.apiAt).Msg("admin API listening")
	o.supervisor.ready("Taking calls")

	watched, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	go o.supervisor.watch(watched, n.alive)
	go o.reloadOn(watched, hangups)
	o.drain(ctx, signals, o.untilTold(signals))
	if err := n.close(); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	o.log.Info().Msg("stopped")
	return nil
}
