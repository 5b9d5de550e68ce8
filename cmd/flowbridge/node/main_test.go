package node

import (
	"os"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/transport"
	"flowbridge/config"
	"flowbridge/internal/pgtest"
)

func TestMain(m *testing.M) {
	transport.SetProcessDefaults()
	if mode := os.Getenv(successorMode); mode != "" {
		succeed(mode)
		os.Exit(0)
	}
	os.Exit(pgtest.Main(m))
}

// startNode starts a node with a configuration, and closes it at the end of the test.
func startNode(t *testing.T, yaml string, env func(string) (string, bool)) *Node {
	t.Helper()
	cfg, err := config.Parse("f.yaml", []byte(yaml), env)
	must(t, err)
	n, err := Start(t.Context(), cfg, zerolog.Nop(), Options{})
	must(t, err)
	t.Cleanup(func() {
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	return string(b)
}

// must fails the test at once if there is an error.
func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}
