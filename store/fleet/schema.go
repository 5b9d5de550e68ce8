package fleet

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

//go:embed migrations/*.sql
var migrations embed.FS

// additions creates the tables that are no migration, where they are missing.
//
//go:embed additions.sql
var additions string

// versionTable is goose's table. Its name is unusual because other programs may use the same database.
const versionTable = "flowbridge_version"

// The keys of the advisory locks: "flow" and a number.
const (
	lockClass  = 0x666c6f77
	lockSchema = 1
)

// errSchema means that the tables are from another version of Flowbridge.
var errSchema = errors.New("schema of another version")

// querySchema reads the version of the tables. It fails if there are no tables.
const querySchema = `SELECT coalesce(max(version_id), 0) FROM ` + versionTable + ` WHERE is_applied`

// newestSchema returns the schema version after all migrations.
func newestSchema() int64 {
	files, _ := fs.Glob(migrations, "migrations/*.sql") // fails only for a bad pattern
	return int64(len(files))
}

// prepare creates the tables or updates them to this version. One node does it while the others wait.
func prepare(ctx context.Context, pool *pgxpool.Pool) error {
	version, err := schemaOf(ctx, pool)
	if err == nil && version < newestSchema() {
		if err = migrate(ctx, pool); err == nil {
			version, err = schemaOf(ctx, pool)
		}
	}
	if err != nil {
		return err
	}
	if err := checkSchema(version); err != nil {
		return err
	}
	return add(ctx, pool)
}

// add creates the tables of additions.sql, if the last one is not there.
func add(ctx context.Context, pool *pgxpool.Pool) error {
	var there bool
	err := pool.QueryRow(ctx, `SELECT to_regclass('flowbridge_salt') IS NOT NULL`).Scan(&there)
	if err != nil || there {
		return err
	}
	// One transaction, in which other nodes wait: IF NOT EXISTS alone does not hold between two of them.
	locked := fmt.Sprintf("SELECT pg_advisory_xact_lock(%d, %d);\n%s", lockClass, lockSchema, additions)
	_, err = pool.Exec(ctx, locked, pgx.QueryExecModeSimpleProtocol)
	return err
}

// checkSchema refuses tables that this version does not know.
func checkSchema(version int64) error {
	if newest := newestSchema(); version != newest {
		return &AwayError{
			fmt.Sprintf("the fleet's database has schema %d, and this version knows %d", version, newest),
			"update this node to the version of the others; its records wait in its own database", errSchema,
		}
	}
	return nil
}

// schemaOf returns the version of the tables, or 0 if there are none.
func schemaOf(ctx context.Context, pool *pgxpool.Pool) (version int64, err error) {
	var there bool
	if err := pool.QueryRow(ctx, `SELECT to_regclass('`+versionTable+`') IS NOT NULL`).Scan(&there); err != nil || !there {
		return 0, err
	}
	err = pool.QueryRow(ctx, querySchema).Scan(&version)
	return version, err
}

// migrate updates the tables under a lock in the database.
func migrate(ctx context.Context, pool *pgxpool.Pool) (err error) {
	db := stdlib.OpenDB(*pool.Config().ConnConfig)
	defer func() { err = errors.Join(err, db.Close()) }()
	lock, err := db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = lock.Close() }() // the lock ends with the connection at the latest
	if _, err := lock.ExecContext(ctx, `SELECT pg_advisory_lock($1, $2)`, lockClass, lockSchema); err != nil {
		return err
	}
	defer func() {
		_, _ = lock.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1, $2)`, lockClass, lockSchema)
	}()
	p, err := provider(db)
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

func provider(db *sql.DB) (*goose.Provider, error) {
	dir, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return nil, err
	}
	return goose.NewProvider(goose.DialectPostgres, db, dir, goose.WithTableName(versionTable),
		goose.WithLogger(goose.NopLogger()),
		goose.WithDisableGlobalRegistry(true))
}

// Check tests a database: its URL, user, tables and rights. It does not change the database. The returned text
// describes what it found.
func Check(ctx context.Context, url string) (string, error) {
	pool, err := openPool(url, "flowbridge check", 1)
	if err != nil {
		return "", err
	}
	defer pool.Close()
	var name, version string
	var may bool
	err = pool.QueryRow(ctx, `SELECT current_database(), current_setting('server_version'),
		has_schema_privilege(current_schema(), 'CREATE') AND NOT pg_is_in_recovery()`).Scan(&name, &version, &may)
	if err != nil {
		return "", explain(err)
	}
	schema, err := schemaOf(ctx, pool)
	if err != nil {
		return "", explain(err)
	}
	what := fmt.Sprintf("PostgreSQL %s, database %s", version, name)
	switch {
	case schema == newestSchema():
		members, err := membersOf(ctx, pool)
		if err != nil {
			return "", explain(err)
		}
		return fmt.Sprintf("%s, schema %d, %d nodes there", what, schema, len(Live(members))), nil
	case schema > newestSchema():
		return "", checkSchema(schema)
	case !may:
		return "", &AwayError{
			what + ": the user may not create tables there",
			"grant CREATE on the schema, or name the primary", pgx.ErrNoRows,
		}
	}
	return fmt.Sprintf("%s, schema %d: the first node that starts makes it %d", what, schema, newestSchema()), nil
}
