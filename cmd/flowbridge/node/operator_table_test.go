package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestReloadOfTable: a table with an error changes nothing, and the log says where it is.
func TestReloadOfTable(t *testing.T) {
	s := newReloadStage(t)
	table := filepath.Join(s.dir, "numbers.csv")
	text := "numbers: " + table + "\n" + read(t, s.file)
	must(t, os.WriteFile(s.file, []byte(text), 0o600))
	for _, tt := range []struct {
		csv  string
		size int
		says string
	}{
		{"number,agent\n+15075785607,a\n+15075785608,b\n", 2, `"numbers":2`},
		{"number,agent\n+15075785607,a\n+15075785607,b\n", 2, `numbers.csv:3:1: number: \"+15075785607\" is there twice`},
		{"number,agent\n+15075785607,a\n+1507578", 2, "ends within a line"},
		{"number,agent\n+15075785609,a\n", 1, `"numbers":1`},
	} {
		must(t, os.WriteFile(table, []byte(tt.csv), 0o600))
		_, err := s.Reload(t.Context())
		if size := s.node.config().Numbers.Size(); size != tt.size || (err == nil) != strings.Contains(tt.says, `"numbers"`) || !strings.Contains(s.logged(), tt.says) {
			t.Errorf("got %d numbers, %v; the log is\n%s", size, err, s.logged())
		}
	}
}
