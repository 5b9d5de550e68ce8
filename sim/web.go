package sim

import (
	"context"
	"net"
	"net/http"
	"time"
)

// web is the HTTP side of a stand-in.
type web struct {
	net.Listener
	server *http.Server
	served chan struct{}
}

// openWeb listens; serve answers.
func openWeb(ctx context.Context, listen string) (*web, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", listen)
	if err != nil {
		return nil, err
	}
	return &web{Listener: l, served: make(chan struct{})}, nil
}

func (w *web) serve(h http.Handler) {
	w.server = &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
	}
	go func() {
		defer close(w.served)
		_ = w.server.Serve(w.Listener) // ends with close
	}()
}

func (w *web) url() string { return "http://" + w.Addr().String() }

func (w *web) close() error {
	err := w.server.Close()
	<-w.served
	return err
}
