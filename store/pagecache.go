package store

import (
	"database/sql"
	"sync"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

const (
	// cacheSlot is the room for one of SQLite's pages, with what SQLite notes beside it. Of the records' pages, which are
	// smaller, the rest of it stays untouched.
	cacheSlot = laddersPage + 384
	// cacheSlots is how many pages are kept in memory, of all databases and connections: at most 17 MB. Beyond them,
	// SQLite uses the oldest again.
	cacheSlots = 1024
	// scratch has the size that SQLite needs for a moment while it balances a tree.
	scratch = 12 << 10
)

// openDB opens a database file. It gives nothing but the errors of its name.
func openDB(name string) (*sql.DB, error) {
	reservePages()
	return sql.Open("sqlite", name)
}

// reservePages gives SQLite the memory for its pages, before it is used first. Its allocator would take 8 KB for each
// of them. And it would ask the system for memory, and give it back, with nearly each insert: whenever the last piece
// of a block is free. That stops all threads for a moment. So one piece of the size of its scratch memory is taken for
// good, too.
var reservePages = sync.OnceFunc(func() { //nolint:gochecknoglobals // of the process, as SQLite's configuration is
	tls := libc.NewTLS()
	defer tls.Close()
	pages := libc.Xmalloc(tls, cacheSlots*cacheSlot)
	args := libc.Xmalloc(tls, 3*8)
	if pages == 0 || args == 0 || libc.Xmalloc(tls, scratch) == 0 {
		return // SQLite says so, too
	}
	defer libc.Xfree(tls, args)
	// An error means that SQLite is in use already: then it goes on with what it has.
	sqlite3.Xsqlite3_config(tls, sqlite3.SQLITE_CONFIG_PAGECACHE,
		libc.VaList(args, pages, int32(cacheSlot), int32(cacheSlots)))
})
