package node

import (
	"os"
	"testing"

	"flowbridge/b2bua/transport"
)

func TestMain(m *testing.M) {
	transport.SetProcessDefaults()
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
