package node

import (
	"os"
	"testing"

	"github.com/rs/zerolog"

	"flowbridge/b2bua/transport"
	"flowbridge/config"
)

func TestMain(m *testing.M) {
	transport.SetProcessDefaults()
	if mode := os.Getenv(successorMode); mode != "" {
		succeed(mode)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// startNode starts a node with a configuration, and closes it at the end of the test.
func startNode(t *testing.T, yaml string, env func(string) (string, bool)) *Node {
	t.Helper()
	cfg, err := config.Parse("f.yaml", []byte(yaml), env)
	if err != nil {
		t.Fatal(err)
	}
	n, err := Start(t.Context(), cfg, zerolog.Nop(), Options{})
	if err != nil {
		t.Fatal(err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
