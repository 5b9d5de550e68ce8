package fleet

import (
	"context"
	"crypto/cipher"
	"errors"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	readCertificate  = `SELECT sealed FROM flowbridge_certificates WHERE domains = $1 AND octet_length(sealed) BETWEEN 1 AND 65536`
	writeCertificate = `INSERT INTO flowbridge_certificates (domains, sealed) VALUES ($1, $2)
		ON CONFLICT (domains) DO UPDATE SET sealed = excluded.sealed`
	orderCertificate = `INSERT INTO flowbridge_certificates AS c (domains, orders_until) VALUES ($1, clock_timestamp() + $2::interval)
		ON CONFLICT (domains) DO UPDATE SET orders_until = excluded.orders_until
		WHERE c.orders_until < clock_timestamp() OR c.orders_until > clock_timestamp() + $2::interval RETURNING true`
)

// Certificate is a certificate that the nodes with one secret share, with its key. The database has it only sealed.
type Certificate struct {
	fleet   *Fleet
	domains string
	seal    cipher.AEAD
}

// Certificate returns the certificate for these domains.
func (s *Seat) Certificate(domains []string) (*Certificate, error) {
	key, err := derive(&SeatOptions{Secret: s.secret}, "certificate")
	if err != nil {
		return nil, err
	}
	seal, err := sealOf(key)
	return &Certificate{s.fleet, strings.Join(domains, " "), seal}, err
}

// Certificate returns what Publish was last given, by any node, or nil.
func (c *Certificate) Certificate(ctx context.Context) (text []byte, err error) {
	var sealed []byte
	err = c.query(ctx, &sealed, readCertificate)
	if err != nil || sealed == nil {
		return nil, err
	}
	if text, err = c.seal.Open(nil, nil, sealed, []byte(c.domains)); err != nil {
		return nil, errors.New("it is damaged, or sealed with another fleet.takeover.key_file")
	}
	return text, nil
}

// Publish gives other nodes the certificate.
func (c *Certificate) Publish(ctx context.Context, text []byte) error {
	return c.query(ctx, nil, writeCertificate, c.seal.Seal(nil, nil, text, []byte(c.domains)))
}

// Turn reports whether this node may order the certificate. If so, no other node may for that time.
func (c *Certificate) Turn(ctx context.Context, d time.Duration) (mine bool, err error) {
	return mine, c.query(ctx, &mine, orderCertificate, d)
}

// query runs a statement about the certificate, and reads its row, if there is one.
func (c *Certificate) query(ctx context.Context, row any, statement string, args ...any) error {
	ctx, cancel := context.WithTimeout(ctx, c.fleet.beatWithin)
	defer cancel()
	if err := c.fleet.ready(ctx); err != nil {
		return err
	}
	args = append([]any{c.domains}, args...)
	if row == nil {
		_, err := c.fleet.pool.Exec(ctx, statement, args...)
		return explain(err)
	}
	err := c.fleet.pool.QueryRow(ctx, statement, args...).Scan(row)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return explain(err)
}
