package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Limits on waiting for the database.
const (
	connectTimeout = 5 * time.Second
	// statementTimeout is the database's own limit, so that it stops work whose result is no longer awaited. The URL may
	// set another one.
	statementTimeout = "30s"
	batchTimeout     = 40 * time.Second
	// idleTimeout bounds how long the database keeps the locks of a machine that dies within a transaction, including
	// the lock on its seat.
	idleTimeout = "2s"
)

// errURL omits the URL, which has a password.
var errURL = errors.New(
	"the URL in fleet.dsn_file is not one of a PostgreSQL database; write postgres://USER:PASSWORD@HOST:5432/DATABASE")

// openPool returns a pool that connects on first use.
func openPool(url, application string, conns int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errURL
	}
	cfg.MaxConns, cfg.MinConns = conns, 0
	cfg.MaxConnIdleTime = time.Minute
	if !strings.Contains(url, "connect_timeout") {
		cfg.ConnConfig.ConnectTimeout = connectTimeout
		if len(cfg.ConnConfig.Fallbacks) > 0 { // one unreachable host must not use up the time for the others
			cfg.ConnConfig.ConnectTimeout = connectTimeout / 10
		}
	}
	for name, value := range map[string]string{
		"application_name": application, "statement_timeout": statementTimeout,
		"idle_in_transaction_session_timeout": idleTimeout,
	} {
		if _, set := cfg.ConnConfig.RuntimeParams[name]; !set {
			cfg.ConnConfig.RuntimeParams[name] = value
		}
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		return nil, errURL
	}
	return pool, nil
}

// reset makes a pool reconnect if the database answered with an error, because it may no longer be the primary.
// Broken connections are dropped anyway, and a connection that is being set up must be kept.
func reset(pool *pgxpool.Pool, err error) {
	if _, answered := errors.AsType[*pgconn.PgError](err); answered {
		pool.Reset()
	}
}

// AwayError means that the fleet's database can't be used at the moment.
type AwayError struct {
	// Problem says what is wrong, and Remedy what to do about it, both without secrets.
	Problem, Remedy string

	err error
}

// Error returns the problem and the remedy.
func (e *AwayError) Error() string { return e.Problem + "; " + e.Remedy }

// Unwrap returns the error of the database.
func (e *AwayError) Unwrap() error { return e.err }

// remedies are keyed by PostgreSQL's error codes (its manual, appendix A).
var remedies = map[string]string{
	"28P01": "check user and password of the URL in fleet.dsn_file",
	"28000": "check user and host of the URL in fleet.dsn_file, and pg_hba.conf",
	"3D000": "create the database, or correct its name in fleet.dsn_file",
	"42501": "grant the user what flowbridge help fleet names",
	"53100": "make room on the database's disk",
	"53300": "raise max_connections of the database",
	"25006": "name the primary in fleet.dsn_file, not a standby",
	"57014": "the database is slow, or statement_timeout too short: look at its load",
	"42703": "its tables are of an older version: start a node of this one",
	"42P01": "the first node that starts makes the tables; restore them if they were there",
}

// explain turns an error into one that operators understand. It never contains the URL.
func explain(err error) error {
	var away *AwayError
	if err == nil || errors.As(err, &away) {
		return err
	}
	var db *pgconn.PgError
	var connect *pgconn.ConnectError
	var network *net.OpError
	var value pgx.ScanArgError
	switch {
	case errors.As(err, &value):
		return &AwayError{
			fmt.Sprintf("the fleet's database has a value that can't be read: %s: %v", value.FieldName, value.Err),
			"correct it, and look who has written it", err,
		}
	case errors.As(err, &db):
		remedy := cmp.Or(remedies[db.Code], "see the log of the database")
		return &AwayError{fmt.Sprintf("the fleet's database says: %s (%s)", db.Message, db.Code), remedy, err}
	case errors.Is(err, context.DeadlineExceeded):
		return &AwayError{"the fleet's database does not answer in time", "look at its load, and at the network", err}
	case errors.As(err, &network):
		return &AwayError{
			fmt.Sprintf("the fleet's database is not reached: %v", network),
			"does it run, and does the URL in fleet.dsn_file name it?", err,
		}
	case errors.As(err, &connect):
		text, remedy := lastOf(connect), "does it run, and does the URL in fleet.dsn_file name it?"
		if strings.Contains(text, "TLS") || strings.Contains(text, "x509") {
			remedy = "give it a certificate for the URL's host, name its authority in the URL (sslrootcert=FILE), or write sslmode=disable for a database on this machine"
		}
		return &AwayError{"the fleet's database is not reached: " + text, remedy, err}
	}
	return &AwayError{
		fmt.Sprintf("the connection to the fleet's database broke: %v", err),
		"look at the log of the database", err,
	}
}

// lastOf returns the text of the innermost error, which says why it failed.
func lastOf(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// isRefusal reports whether an error is about the rows and not the database: bad data, constraints, sizes, and errors
// that triggers raise.
func isRefusal(err error) bool {
	var db *pgconn.PgError
	if !errors.As(err, &db) || len(db.Code) != 5 {
		return false
	}
	switch db.Code[:2] {
	case "22", "23", "54":
		return true
	}
	return db.Code == "P0001"
}

// isSlow reports whether time ran out.
func isSlow(err error) bool {
	var db *pgconn.PgError
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &db) && db.Code == "57014"
}
