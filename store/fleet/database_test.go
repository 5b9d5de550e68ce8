package fleet

import (
	"errors"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestNoTLS checks that the remedy is about TLS if the URL requires TLS and the database does not
// offer it.
func TestNoTLS(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.ReadFull(c, make([]byte, 8)) // SSLRequest
			_, _ = c.Write([]byte("N"))
			_ = c.Close()
		}
	}()
	_, err = pgx.Connect(t.Context(), "postgres://u:secret@"+l.Addr().String()+"/d?sslmode=verify-full")
	var away *AwayError
	if !errors.As(explain(err), &away) || !strings.Contains(away.Remedy, "sslmode") {
		t.Errorf("%v: %+v", err, away)
	}
}
