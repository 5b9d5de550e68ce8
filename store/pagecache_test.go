package store

import (
	"path/filepath"
	"testing"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// SQLite's pages fit into the memory that is reserved for them and never exceed it.
func TestReservedPages(t *testing.T) {
	s := openTest(t, filepath.Join(t.TempDir(), "f.db"))
	mustPut(t, s, sample("one"))
	tls := libc.NewTLS()
	defer tls.Close()
	at := libc.Xmalloc(tls, 2*4)
	defer libc.Xfree(tls, at)
	for status, within := range map[int32][2]int32{
		sqlite3.SQLITE_STATUS_PAGECACHE_USED:     {1, cacheSlots},
		sqlite3.SQLITE_STATUS_PAGECACHE_OVERFLOW: {0, 0},
	} {
		if rc := sqlite3.Xsqlite3_status(tls, status, at, at+4, 0); rc != sqlite3.SQLITE_OK {
			t.Fatal(rc)
		}
		if got := libc.AtomicLoadPInt32(at); got < within[0] || got > within[1] {
			t.Errorf("status %d: %d; want %v", status, got, within)
		}
	}
}
