package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/cobra"

	"flowbridge/config"
)

// drainLimit is how long calls may go on after the first SIGTERM.
const drainLimit = 60 * time.Second

// gcPercent trades memory for the CPU that garbage collection takes from
// bursts of signalling; GOGC in the environment overrides it.
const gcPercent = 400

func serveCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the B2BUA",
		Long: "Run the B2BUA until SIGTERM or SIGINT. The first signal refuses new calls and lets the others go on\n" +
			"for up to " + drainLimit.String() + "; a second one ends them at once, with their records written.",
		Example: "  flowbridge serve --config flowbridge.yaml",
		Args:    usage(cobra.NoArgs),
	}
	file := configFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := config.Load(*file)
		if err != nil {
			return err
		}
		log := logger(cfg.Log, os.Stderr)
		log.Info().Str("config", *file).Str("version", programVersion()).Int("trunks", len(cfg.Trunks)).
			Int("targets", len(cfg.Targets)).Int("routes", len(cfg.Routes)).Msg("configuration loaded")
		if len(cfg.Trunks) == 0 || len(cfg.Routes) == 0 {
			log.Warn().Msg("no trunks or no routes: no call can get through")
		}
		return serve(c.Context(), cfg, log)
	}
	return c
}

func serve(ctx context.Context, cfg *config.Config, log zerolog.Logger) error {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)
	defer signal.Stop(signals)

	n, err := startNode(ctx, cfg, log, hooks{})
	if err != nil {
		return err
	}
	for _, l := range n.server.Listeners() {
		log.Info().Str("listen", l.String()).Msg("sip listening")
	}
	log.Info().Stringer("listen", n.apiAt).Msg("admin API listening")

	go ignoreHangup(log)
	got := <-signals
	n.server.Drain()
	log.Info().Stringer("signal", got).Int("calls", n.server.Calls()).Int64("limit_ms", drainLimit.Milliseconds()).Msg("draining")
	drained, cancel := context.WithTimeout(ctx, drainLimit)
	go func() {
		<-signals
		cancel()
	}()
	if n.server.WaitIdle(drained) != nil {
		log.Warn().Int("calls", n.server.Calls()).Msg("calls are hung up: the limit is over, or a second signal came")
	}
	cancel()
	if err := n.close(); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	log.Info().Msg("stopped")
	return nil
}

// ignoreHangup keeps SIGHUP, which asks other servers to reload, from ending
// this one.
func ignoreHangup(log zerolog.Logger) {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	for range hangups {
		log.Warn().Msg("SIGHUP: this version does not reload; restart to read the configuration anew")
	}
}

// logger writes to w as the configuration says.
func logger(cfg config.Log, w *os.File) zerolog.Logger {
	var out io.Writer = w
	level, err := zerolog.ParseLevel(cfg.Level)
	if err != nil {
		level = zerolog.InfoLevel // the configuration was checked
	}
	if cfg.Format == config.FormatConsole {
		info, err := w.Stat()
		out = zerolog.ConsoleWriter{
			Out: w, TimeFormat: "15:04:05.000", NoColor: err != nil || info.Mode()&os.ModeCharDevice == 0,
		}
	}
	return zerolog.New(out).Level(level).With().Timestamp().Logger()
}
