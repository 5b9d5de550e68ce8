package main

import (
	"encoding/base64"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"flowbridge/store"
	"flowbridge/store/receipt"
	"flowbridge/store/record"
)

// A call's receipt is shown beside the process that writes. What is changed or missing is said with its line.
func TestTold(t *testing.T) {
	db := filepath.Join(t.TempDir(), "f.db")
	dir := store.ReceiptsPath(db)
	c, err := receipt.Open(dir, "node-1", zerolog.Nop())
	must(t, err)
	defer c.Close()
	for _, id := range []string{"call-1", "call-2", "call-3"} {
		must(t, c.Write(id, time.Now(), record.Told{
			Sound: "ai-en", SHA256: "ab12", FromMS: 20, ToMS: 3020, Whole: true,
			Packets: 151, Lost: new(int64(2)), TalkedOver: true, Key: "1",
		}))
	}
	head, _ := c.Head()
	key := base64.StdEncoding.EncodeToString(c.Key())
	text, err := os.ReadFile(filepath.Join(dir, "000000000001.jsonl"))
	must(t, err)
	lines := strings.SplitAfter(string(text), "\n")
	files := t.TempDir()
	write := func(name string, lines ...string) string {
		name = filepath.Join(files, name)
		must(t, os.WriteFile(name, []byte(strings.Join(lines, "")), 0o600))
		return name
	}
	cut, gap := write("cut", lines[:3]...), write("gap", lines[0], lines[1], lines[3])
	changed := write("changed", lines[0], lines[1], strings.Replace(lines[2], `"whole":true`, `"whole":null`, 1))
	for _, tc := range []struct {
		args string
		code int
		says string
	}{
		{"call-2 --db " + db, 0, "receipt  2 of node-1"},
		{"call-2 --db " + db, 0, "ai-en, whole: 151 packets sent, from 0.0 s to 3.0 s of the call; " +
			"the caller's RTCP reports 2 lost; the caller spoke during it; key 1"},
		{"call-2 --db " + db, 0, "signed   by the node's key"},
		{"call-2 --json --db " + db, 0, lines[2]},
		{"call-9 --db " + db, 1, "no receipt of call call-9"},
		{"--db " + db, 0, "3 receipts of node-1, whole: 1 to 3"},
		{"--db " + db, 0, "head  " + head},
		{"--json --db " + db, 0, string(text)},
		{"--verify " + dir + " --key " + key + " --head " + strings.ToUpper(head), 0, "the one that was given is there"},
		{"--verify " + cut + " --key " + key, 0, "2 receipts of node-1, whole: 1 to 2"},
		{"--verify " + cut + " --head " + head, 1, "line 3: no receipt has the hash " + head},
		{"--verify " + gap, 1, "line 3: receipt 2 is missing before it"},
		{"--verify " + changed, 1, "line 3: it was changed"},
		{"--verify " + write("torn", lines[0], lines[1], "{"), 0, "The last line is not whole (1 bytes)"},
		{"--verify " + cut + " --key x", 2, "44 characters"},
		{"--verify " + cut + "x", 1, "no such file"},
		{"call-1 --verify " + cut, 2, "leave the id out"},
	} {
		if out, code := run(t, append([]string{"told"}, strings.Fields(tc.args)...)...); code != tc.code ||
			!strings.Contains(out, tc.says) {
			t.Errorf("%s: exit code %d\n%s", tc.args, code, out)
		}
	}
}
