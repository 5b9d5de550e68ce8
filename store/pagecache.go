package store

import (
	"database/sql"
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// cacheSlot is the memory for one of SQLite's pages, with SQLite's data about the page. The file of records has
	// smaller pages, which leave the rest of a slot untouched.
	cacheSlot = laddersPage + 384
	// cacheSlots is how many pages of all databases and connections stay in memory: at most 17 MB. Beyond that, SQLite
	// reuses the oldest.
	cacheSlots = 1024
	// scratch is the size of the memory that SQLite needs briefly to balance a tree.
	scratch = 12 << 10
)

// openDB opens a database file. It fails only if the name is invalid.
func openDB(name string) (*sql.DB, error) {
	reservePages()
	return sql.Open("sqlite", name)
}

// reservePages gives SQLite the memory for its pages before its first use. Otherwise SQLite's allocator would take 8 KB
// for each page. At nearly each insert, it would also take memory from the system and return it, namely whenever the
// last piece of a block is free. That stops all threads for a moment. So one piece of the size of its scratch memory is
// also kept forever.
var reservePages = sync.OnceFunc(func() { //nolint:gochecknoglobals // global, as SQLite's configuration is
	tls := libc.NewTLS()
	defer tls.Close()
	pages := libc.Xmalloc(tls, cacheSlots*cacheSlot)
	args := libc.Xmalloc(tls, 3*8)
	if pages == 0 || args == 0 || libc.Xmalloc(tls, scratch) == 0 {
		return // SQLite reports the error later
	}
	defer libc.Xfree(tls, args)
	// An error means that SQLite is already in use. Then it keeps its settings.
	sqlite3.Xsqlite3_config(tls, sqlite3.SQLITE_CONFIG_PAGECACHE,
		libc.VaList(args, pages, int32(cacheSlot), int32(cacheSlots)))
})
