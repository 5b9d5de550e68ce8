package provision

import (
	"bytes"
	"os"
	"testing"

	"flowbridge/b2bua"
	"flowbridge/cmd/flowbridge/check"
	"flowbridge/cmd/flowbridge/cli"
)

func TestMain(m *testing.M) {
	b2bua.SetProcessDefaults()
	os.Exit(m.Run())
}

// run executes the command line and gives its output and exit code.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	c := cli.Root()
	c.AddCommand(check.Command(), Synthflow(), Vapi())
	c.SetArgs(args)
	c.SetOut(&out)
	c.SetErr(&out)
	if err := c.ExecuteContext(t.Context()); err != nil {
		return out.String() + err.Error(), cli.ExitCode(err)
	}
	return out.String(), 0
}

func read(t *testing.T, file string) string {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
