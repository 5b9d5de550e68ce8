package node

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/config"
)

// A request that is under way when the node closes gets its answer, as the one does that told it to drain.
func TestCloseAnswersRequests(t *testing.T) {
	cfg, err := config.Parse("f.yaml", fmt.Appendf(nil,
		"sip: {listen: [\"udp://127.0.0.1:0\"]}\nstore: {path: %q}\nadmin: {listen: \"127.0.0.1:0\"}\n", t.TempDir()+"/c.db"), nil)
	must(t, err)
	n, err := Start(t.Context(), cfg, zerolog.Nop(), Options{})
	must(t, err)
	conn, err := net.Dial("tcp", n.APIAddr().String())
	must(t, err)
	defer conn.Close()
	body := `{"on": true}`
	_, err = fmt.Fprintf(conn, "POST /api/calls/none/mask HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"+
		"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	must(t, err)
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("the request is not being read: %q, %v", line, err)
	}
	closed := make(chan error, 1)
	ending := make(chan struct{})
	n.api.server.RegisterOnShutdown(func() { close(ending) })
	go func() { closed <- n.Close() }()
	select {
	case <-ending:
	case err := <-closed:
		t.Fatalf("the node has closed without waiting for the request: %v", err)
	}
	_, err = conn.Write([]byte(body))
	must(t, err)
	_, _ = in.ReadString('\n') // the end of the 100
	if line, err = in.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 404") {
		t.Errorf("the answer is %q, %v; want 404", line, err)
	}
	must(t, <-closed)
}
