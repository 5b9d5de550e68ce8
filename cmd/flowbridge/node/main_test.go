package node

import (
	"os"
	"testing"

	"flowbridge/b2bua/transport"
)

func TestMain(m *testing.M) {
	transport.SetProcessDefaults()
	if mode := os.Getenv(successorMode); mode != "" {
		succeed(mode)
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
