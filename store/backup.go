package store

import (
	"archive/tar"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/klauspost/compress/gzip"
)

// A backup is a tar file compressed with gzip: the database, which has the signalling key, the ladders, the receipts
// with their key, and recordings.
// Its checksum tells a damaged one. The databases are copied page by page in one transaction, so the copy needs no room
// on their disk, and no other process waits for it. Tests: TestBackupWhileWriting, FuzzRestore.
const (
	backupDatabase   = "flowbridge.db"
	backupLadders    = "flowbridge-ladders.db"
	backupReceipts   = "receipts/"
	backupRecordings = "recordings/"

	// restoring ends the names of files until the whole backup is read and checked.
	restoring = ".restoring"
)

var (
	errNoBackup = errors.New("it is no backup of Flowbridge, or damaged, cut off or encrypted")
	errInTheWay = errors.New("it is in the way; move it away, or name another path")
)

// Saved is what a backup has.
type Saved struct {
	At                time.Time // when the database was copied
	Node              string    // of the latest record; empty if there is none
	Calls, Recordings int64
}

// ReceiptsPath returns the directory of the receipts beside a database.
func ReceiptsPath(path string) string { return path + receiptsEnding }

const receiptsEnding = ".receipts"

// Backup writes the database at path, its ladders and receipts, and the recordings in a directory, unless that is
// empty.
func Backup(ctx context.Context, to io.Writer, path, recordings string) (s Saved, err error) {
	r, err := OpenRead(ctx, path)
	if errors.Is(err, errOlder) { // before an upgrade
		r, err = openReader(path)
	}
	if err != nil {
		return s, err
	}
	defer func() { _ = r.Close() }()                     // it was only used for reading
	packed, _ := gzip.NewWriterLevel(to, gzip.BestSpeed) // fails only for an unknown level
	all := tar.NewWriter(packed)
	s.At = time.Now()
	err = copyPages(ctx, r.pool(), all, backupDatabase, &s)
	if ladders := LaddersPath(path); err == nil && fileExists(ladders) {
		var db *sql.DB
		if db, err = openDB(dsn(ladders, "rw", "query_only(1)")); err == nil {
			err = errors.Join(copyPages(ctx, db, all, backupLadders, nil), db.Close())
		}
	}
	if receipts := ReceiptsPath(path); err == nil && fileExists(receipts) {
		_, err = copyFiles(ctx, receipts, all, backupReceipts, isReceipts)
	}
	if err == nil && recordings != "" {
		s.Recordings, err = copyFiles(ctx, recordings, all, backupRecordings, isRecording)
	}
	if err == nil {
		err = errors.Join(all.Close(), packed.Close())
	}
	if err != nil {
		return s, fmt.Errorf("backup of %s: %w", path, err)
	}
	return s, nil
}

func fileExists(name string) bool {
	_, err := os.Lstat(name)
	return err == nil
}

const lookAtCalls = `SELECT count(*), coalesce((SELECT node FROM calls ORDER BY started_at DESC, id DESC LIMIT 1), '') FROM calls`

func addHeader(to *tar.Writer, name string, size int64, at time.Time) error {
	return to.WriteHeader(&tar.Header{Name: name, Size: size, Mode: 0o600, ModTime: at.Truncate(time.Second)})
}

// copyPages writes a database as it is at one moment. It fills in s, unless that is nil.
func copyPages(ctx context.Context, db *sql.DB, to *tar.Writer, name string, s *Saved) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		var size, pages int64
		const query = `SELECT s.page_size, p.page_count FROM pragma_page_size AS s, pragma_page_count AS p`
		err := tx.QueryRowContext(ctx, query).Scan(&size, &pages)
		if err == nil && s != nil {
			err = tx.QueryRowContext(ctx, lookAtCalls).Scan(&s.Calls, &s.Node)
		}
		if err == nil {
			err = addHeader(to, name, size*pages, time.Now())
		}
		if err != nil {
			return err
		}
		var page sql.RawBytes
		var failed error
		reading, stop := context.WithCancel(ctx)
		defer stop()
		err = eachRow(reading, tx, []any{&page}, func() {
			if failed == nil {
				if _, failed = to.Write(page); failed != nil {
					stop()
				}
			}
		}, `SELECT data FROM sqlite_dbpage`)
		if failed != nil {
			return failed
		}
		return err
	})
}

// isRecording reports whether a file below the directory of recordings is a finished recording.
func isRecording(name string) bool {
	ext := path.Ext(strings.TrimSuffix(name, ".age")) // encrypted
	return ext == ".wav" || ext == ".pcapng"
}

// isReceipts reports whether a file of the directory of receipts has some, or their key.
func isReceipts(name string) bool {
	return name == "key" || path.Ext(name) == ".jsonl" && path.Base(name) == name
}

// copyFiles writes the files of a directory that belong into a backup. It skips files that are removed while it runs.
func copyFiles(ctx context.Context, dir string, to *tar.Writer, as string, belongs func(name string) bool) (
	n int64, err error,
) {
	root, err := os.OpenRoot(dir) // a link must not lead out of it
	if err != nil {
		return 0, err
	}
	defer func() { _ = root.Close() }() // it was only used for reading
	return n, fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || !d.Type().IsRegular() || !belongs(name) {
			return err
		}
		f, err := root.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }() // it was only used for reading
		info, err := f.Stat()
		if err == nil {
			err = addHeader(to, as+name, info.Size(), info.ModTime())
		}
		if err == nil {
			_, err = io.CopyN(to, f, info.Size())
		}
		n++
		return err
	})
}

// restore is a backup that is being read. Files are written to where they belong, and get their names at the end.
type restore struct {
	Saved

	dirs  [2]*os.Root // of the database, and of the recordings, which may be nil
	base  string      // name of the database
	names [2][]string // by dir, without the ending restoring
}

// Restore writes a backup to the path of the database, and its recordings to a directory. It refuses a path that a
// process uses, and overwrites nothing. After an error it leaves no file of the backup.
func Restore(ctx context.Context, from io.Reader, path, recordings string) (s Saved, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return s, err
	}
	lock, err := lockFile(path)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	for _, old := range []string{path, LaddersPath(path)} {
		for _, ending := range []string{
			"", "-wal", "-shm", ".key", ".live-a", ".live-b", ".unwritten.jsonl", receiptsEnding + "/key",
		} {
			if fileExists(old + ending) { // it would be applied to the restored database
				return s, fmt.Errorf("%s: %w", old+ending, errInTheWay)
			}
		}
	}
	r := &restore{base: filepath.Base(path)}
	for i, dir := range []string{filepath.Dir(path), recordings} {
		if dir == "" {
			continue
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return s, err
		}
		if r.dirs[i], err = os.OpenRoot(dir); err != nil {
			return s, err
		}
		defer func() { _ = r.dirs[i].Close() }() // its files are closed
	}
	if err = r.unpack(from); err == nil {
		err = r.check(ctx, path)
	}
	r.own(r.dirs[0], filepath.Base(lock.Name()))
	return r.Saved, errors.Join(err, r.finish(err == nil))
}

// unpack reads the backup to its end, which has the checksum.
func (r *restore) unpack(from io.Reader) error {
	packed, err := gzip.NewReader(from)
	if err != nil {
		return ofBackup(err)
	}
	all := tar.NewReader(packed)
	for {
		h, err := all.Next()
		if errors.Is(err, io.EOF) && len(r.names[0]) > 0 {
			_, err = io.Copy(io.Discard, packed)
			return ofBackup(err)
		}
		if err == nil {
			err = r.take(h, all)
		}
		if err != nil {
			return ofBackup(err)
		}
	}
}

// ofBackup returns an error of reading a backup, unless the system says what is wrong.
func ofBackup(err error) error {
	if _, system := errors.AsType[syscall.Errno](err); err == nil || system || errors.Is(err, errInTheWay) {
		return err
	}
	return fmt.Errorf("%w (%w)", errNoBackup, err)
}

// take writes one file.
func (r *restore) take(h *tar.Header, from io.Reader) error {
	i, name := 0, r.base
	recording, recorded := strings.CutPrefix(h.Name, backupRecordings)
	receipts, told := strings.CutPrefix(h.Name, backupReceipts)
	switch {
	case h.Name == backupDatabase:
		r.At = h.ModTime
	case h.Name == backupLadders:
		name = LaddersPath(r.base)
	case told && isReceipts(receipts):
		name = ReceiptsPath(r.base) + "/" + receipts
	case !recorded || !isRecording(recording) || !filepath.IsLocal(recording):
		return fmt.Errorf("file %q: %w", h.Name, fs.ErrInvalid)
	case r.dirs[1] == nil:
		return fmt.Errorf("it has recordings: write recording.path into the configuration: %w", syscall.ENOENT)
	default:
		i, name = 1, recording
		r.Recordings++
	}
	in := r.dirs[i]
	if slices.Contains(r.names[i], name) {
		return fmt.Errorf("file %q comes twice: %w", h.Name, fs.ErrInvalid)
	}
	if _, err := in.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w", filepath.Join(in.Name(), name), errors.Join(errInTheWay, err))
	}
	if err := in.MkdirAll(path.Dir(name), 0o700); err != nil {
		return err
	}
	f, err := in.OpenFile(name+restoring, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	r.names[i] = append(r.names[i], name)
	if _, err = io.Copy(f, from); err == nil {
		err = f.Sync()
	}
	// The age of a recording counts from its time.
	return errors.Join(err, f.Close(), in.Chtimes(name+restoring, time.Time{}, h.ModTime))
}

// check checks the databases before they get their names.
func (r *restore) check(ctx context.Context, path string) error {
	err := r.checkRecords(ctx, path+restoring)
	if ladders := LaddersPath(path); err == nil && slices.Contains(r.names[0], filepath.Base(ladders)) {
		if err = quickCheck(ctx, ladders+restoring); err != nil {
			err = fmt.Errorf("the backup's ladders: %w", err)
		}
	}
	return err
}

func quickCheck(ctx context.Context, name string) error {
	db, err := openDB(unchanging(name))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only used for reading
	var found string
	err = db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found)
	if err == nil && found != "ok" {
		err = fmt.Errorf("%w: %s", errCorrupt, found)
	}
	return err
}

func (r *restore) checkRecords(ctx context.Context, name string) error {
	db, err := openDB(unchanging(name))
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it was only used for reading
	read := &Reader{name: name}
	read.db.Store(db)
	if err = read.check(ctx); err == nil || errors.Is(err, errOlder) { // the start of the server updates an older one
		err = quickCheck(ctx, name)
	}
	if err == nil {
		err = db.QueryRowContext(ctx, lookAtCalls).Scan(&r.Calls, &r.Node)
	}
	if err != nil {
		return fmt.Errorf("the backup's database: %w", err)
	}
	return nil
}

// finish gives the files their names, the database last, or removes them.
func (r *restore) finish(whole bool) (err error) {
	for i := range r.dirs {
		in, names := r.dirs[1-i], r.names[1-i]
		for j := range names {
			name := names[len(names)-1-j]
			if !whole || err != nil {
				err = errors.Join(err, in.Remove(name+restoring))
				continue
			}
			err = in.Rename(name+restoring, name)
			r.own(in, name)
		}
	}
	return err
}

// own gives a file that root has written, with the directories above it, to the owner of the directory that it is in:
// the server runs as that user.
func (r *restore) own(in *os.Root, name string) {
	info, err := in.Stat(".")
	if err != nil || os.Geteuid() != 0 {
		return
	}
	of, ok := info.Sys().(*syscall.Stat_t)
	for ; ok && name != "."; name = path.Dir(name) {
		_ = in.Lchown(name, int(of.Uid), int(of.Gid)) // the server's start says what it can't read
	}
}
