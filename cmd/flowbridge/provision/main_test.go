package provision

import (
	"bytes"
	"os"
	"testing"

	"flowbridge/b2bua/transport"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/explain"
)

func TestMain(m *testing.M) {
	transport.SetProcessDefaults()
	os.Exit(m.Run())
}

// run executes the command line and gives its output and exit code.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	root := cli.Root()
	root.AddCommand(explain.Command(), Synthflow(), Vapi())
	var out bytes.Buffer
	code := cli.Run(t.Context(), root, args, &out, &out)
	return out.String(), code
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
