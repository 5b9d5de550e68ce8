package fleet

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"golang.org/x/crypto/scrypt"
)

const (
	addMember = `INSERT INTO flowbridge_members AS m (id, name, key, seen_at) VALUES ($1, $2, $3, now())
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, key = excluded.key, seen_at = now()
		WHERE (m.name, m.key) <> (excluded.name, excluded.key) OR m.seen_at < now() - interval '1 hour'`
	// selectOthers has all nodes but this one: members, and by their names or addresses those that are none because
	// their version knows no erasures, or because they have not served yet. A node that only stands by has nothing to
	// erase.
	selectOthers = `WITH m AS (SELECT id, left(name, 64) AS name, left(key, 64) AS key FROM flowbridge_members
			WHERE id <> $1 AND octet_length(id) <= 64 AND seen_at > now() - interval '90 days')
		SELECT id, name, key FROM m
		UNION SELECT 'name ' || name, name, max(key) FROM (
			SELECT left(name, 64), CASE WHEN seat_key = $3 THEN $4 ELSE '' END FROM flowbridge_nodes
				WHERE id <> $1 AND NOT standby AND seen_at > now() - interval '90 days'
			UNION ALL SELECT left(node, 64), '' FROM flowbridge_calls WHERE %s
		) AS seen (name, key) WHERE name NOT IN ('', $2) AND name NOT IN (SELECT name FROM m) GROUP BY name
		UNION SELECT 'at ' || a, a, '' FROM unnest($5::text[]) AS a
			WHERE 'http://' || a NOT IN (SELECT api FROM flowbridge_nodes)
		ORDER BY 2, 1 LIMIT 10001`
	lately = `started_at > now() - interval '90 days' AND $6::text[] IS NULL` // $6 has a type in any case
	ofIDs  = `id = ANY($6)`

	addErasure = `INSERT INTO flowbridge_erasures (id, calls, salt, proof, number, waits) VALUES ($1, $2, $3, $4, $5, $6)`
	// mayBeOrdered is true for a row that a node may have written. Others are removed unread.
	mayBeOrdered = `octet_length(salt) = 32 AND octet_length(proof) = 32 AND coalesce(octet_length(number), 32) = 32
		AND coalesce(octet_length(calls::text), 0) <= 4096 AND pg_column_size(waits) <= 1 << 20`
	myErasures = `SELECT id, calls, salt, proof, number FROM flowbridge_erasures WHERE waits && $1 AND ` + mayBeOrdered
	// newestErasures come first: a right one is among them, however many older rows of others there are.
	newestErasures = myErasures + ` AND at <= now() ORDER BY at DESC LIMIT 1000`
	nextErasures   = myErasures + ` AND id > $2 ORDER BY id LIMIT 1000`
	confirm        = `UPDATE flowbridge_erasures
		SET waits = ARRAY(SELECT unnest(waits) EXCEPT SELECT unnest($2::text[])) WHERE id = $1`
	forgetDone = `DELETE FROM flowbridge_erasures
		WHERE waits = '{}' OR at < now() - interval '90 days' OR NOT (` + mayBeOrdered + `)`
	// selectWaits has the names of the nodes that erasures wait for.
	selectWaits = `SELECT DISTINCT left(coalesce(m.name, regexp_replace(left(w, 100), '^(name|at) ', '')), 64)
		FROM flowbridge_erasures, unnest(waits) AS w LEFT JOIN flowbridge_members AS m ON m.id = w
		WHERE ` + mayBeOrdered + ` ORDER BY 1 LIMIT 10000`

	addSalt    = `INSERT INTO flowbridge_salt DEFAULT VALUES ON CONFLICT DO NOTHING`
	selectSalt = `SELECT substr(salt, 1, 64) FROM flowbridge_salt`
)

const (
	// pageOfErasures is the LIMIT of the statements above. maxRefused bounds how many rows without a right proof are read
	// in one look; the next look goes on with others.
	pageOfErasures = 1000
	maxRefused     = 10_000
	// refusedEvery is how often the log says that there are such rows.
	refusedEvery = 10 * time.Minute
	// eraseWithin bounds how long this node takes for what other nodes were asked to erase, until it goes on with records.
	eraseWithin = 10 * time.Minute
)

// proofKeys are the keys of the proofs and hashes of erasures. A row of the database must not let its reader try out
// passwords cheaply.
type proofKeys struct {
	file  []byte // made of the takeover's secret; nil without one
	shown string // tells file from other nodes' keys; empty without one

	password        string // may be empty
	mu              sync.Mutex
	salt, stretched []byte // the last salt, and the key made of it and of password
}

func newProofKeys(password string, o *SeatOptions) (*proofKeys, error) {
	k := &proofKeys{password: password}
	if o == nil {
		return k, nil
	}
	secret := &SeatOptions{Secret: o.Secret} // nodes of all seats may have it
	shown, err := derive(secret, "erasures, shown")
	if err != nil {
		return nil, err
	}
	k.shown = hex.EncodeToString(shown[:8])
	k.file, err = derive(secret, "erasures")
	return k, err
}

// stretch returns the key made of the database's password, or nil if there is none. It takes a third of a second and
// 32 MB, but again only after the salt has changed.
func (k *proofKeys) stretch(ctx context.Context, f *Fleet) (key []byte, err error) {
	if k.password == "" {
		return nil, nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	var salt []byte
	if _, err = f.pool.Exec(ctx, addSalt); err == nil {
		err = f.pool.QueryRow(ctx, selectSalt).Scan(&salt)
	}
	if err != nil {
		return nil, explain(err)
	}
	if k.stretched == nil || !slices.Equal(salt, k.salt) {
		if k.stretched, err = scrypt.Key([]byte(k.password), salt, 1<<15, 8, 3, sha256.Size); err != nil {
			return nil, err
		}
		k.salt = salt
	}
	return k.stretched, nil
}

// hashWith returns the hash of a text.
func hashWith(key, salt []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(salt)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// erasure is a row that waits for other nodes.
type erasure struct {
	ID                  uuid.UUID
	Calls               []string
	Salt, Proof, Number []byte
}

// proof shows that a node with the key ordered an erasure. It covers the id, the calls and the number: someone who can
// write into the database can put a row back, but neither name another call in it nor copy it.
func (e *erasure) proof(key []byte) []byte {
	return hashWith(key, e.Salt, fmt.Sprintf("%s %q %x", e.ID, e.Calls, e.Number))
}

// other is another node.
type other struct {
	Waits string // what a row has of it: its id, "name " and its name, or "at " and an address
	Name  string // or its address
	Key   string // its proofKeys.shown; empty if it has none, or if that is unknown
}

// others returns the other nodes that may have something of a subject.
func (f *Fleet) others(ctx context.Context, s Subject) (all []other, err error) {
	condition := lately
	if s.Calls != nil {
		condition = ofIDs
	}
	var at []string
	if f.peers != nil {
		own := f.waitsAs()
		for _, a := range f.peers() {
			if !slices.Contains(own, "at "+a.String()) {
				at = append(at, a.String())
			}
		}
	}
	seatKey := "none" // no node's
	if f.Seat != nil {
		seatKey = f.Seat.print
	}
	err = pgx.BeginFunc(ctx, f.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, longStatements); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, fmt.Sprintf(selectOthers, condition), f.own, f.member.name, seatKey, f.keys.shown, at,
			s.Calls) // the rows return the error
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[other])
		return err
	})
	if len(all) > 10_000 {
		err = &AwayError{
			"the fleet's database has over 10,000 nodes of the last 90 days",
			"look who writes into flowbridge_members, flowbridge_nodes and flowbridge_calls", nil,
		}
	}
	return all, explain(err)
}

// waitsAs returns what a row that waits for this node may have of it.
func (f *Fleet) waitsAs() []string {
	all := []string{f.own, "name " + f.member.name}
	if at, ok := strings.CutPrefix(f.member.api, "http://"); ok {
		all = append(all, "at "+at)
	}
	if f.addresses != nil {
		for _, a := range f.addresses() {
			all = append(all, "at "+a.String())
		}
	}
	return all
}

// order returns the rows of an erasure, each with the nodes that it waits for. A node with the same takeover's secret
// is asked with it, others with the database's password. alone has those that have neither in common with this node.
func (f *Fleet) order(ctx context.Context, s Subject, digits string, dry bool,
) (rows [][]any, alone []string, err error) {
	all, err := f.others(ctx, s)
	var byFile, byPassword []string
	for _, o := range all {
		switch {
		case f.keys.file != nil && o.Key == f.keys.shown:
			byFile = append(byFile, o.Waits)
		case f.keys.password != "":
			byPassword = append(byPassword, o.Waits)
		default:
			alone = append(alone, o.Name)
		}
	}
	if dry || err != nil {
		return nil, alone, err
	}
	add := func(key []byte, waits []string) {
		e := erasure{ID: uuid.New(), Calls: s.Calls, Salt: make([]byte, sha256.Size)}
		_, _ = rand.Read(e.Salt) // never fails
		if s.Calls == nil {
			e.Number = hashWith(key, e.Salt, digits)
		}
		rows = append(rows, []any{e.ID, e.Calls, e.Salt, e.proof(key), e.Number, waits})
	}
	if byFile != nil {
		add(f.keys.file, byFile)
	}
	if byPassword != nil {
		key, err := f.keys.stretch(ctx, f)
		if err != nil {
			return nil, nil, err
		}
		add(key, byPassword)
	}
	return rows, alone, nil
}

// Waits returns the nodes that have not confirmed an erasure yet.
func (f *Fleet) Waits(ctx context.Context) ([]string, error) {
	rows, _ := f.pool.Query(ctx, selectWaits) // the rows return the error
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return names, explain(err)
}

// eraseOthers erases here what other nodes were asked to erase, and confirms it.
func (f *Fleet) eraseOthers(ctx context.Context) {
	erase := f.erase.Load()
	if erase == nil || f.ready(ctx) != nil {
		return
	}
	f.looking.Lock()
	defer f.looking.Unlock()
	ctx, cancel := context.WithTimeout(ctx, eraseWithin)
	defer cancel()
	l := look{
		Fleet: f, erase: *erase, waitsAs: f.waitsAs(),
		password: sync.OnceValues(func() ([]byte, error) { return f.keys.stretch(ctx, f) }),
	}
	_, err := f.pool.Exec(ctx, addMember, f.own, f.member.name, f.keys.shown)
	if err == nil {
		_, err = f.pool.Exec(ctx, forgetDone)
	}
	if err = errors.Join(explain(err), l.all(ctx)); err != nil && ctx.Err() == nil {
		f.rows.Warn().Err(err).Msg("not erased: will retry")
	}
	if l.refused > 0 && time.Since(f.toldRefused) > refusedEvery {
		f.toldRefused = time.Now()
		f.rows.Warn().Err(fmt.Errorf("erasure %s: %w", l.last, errProof)).Int("count", l.refused).
			Msg("not erased: will retry")
	}
}

// look is one look at the erasures that wait for this node.
type look struct {
	*Fleet

	erase   EraseFunc
	waitsAs []string
	// password returns the key made of the database's password.
	password func() ([]byte, error)

	refused int       // rows without a right proof
	last    uuid.UUID // the last one of them
}

// all erases what the newest rows say, and then what the rows after those of the last look say.
func (l *look) all(ctx context.Context) error {
	n, _, err := l.page(ctx, newestErasures, l.waitsAs)
	if n < pageOfErasures { // these were all
		return err
	}
	for l.refused < maxRefused && ctx.Err() == nil {
		n, last, pageErr := l.page(ctx, nextErasures, l.waitsAs, l.lookedTo)
		if err = errors.Join(err, pageErr); n < pageOfErasures {
			l.lookedTo = uuid.Nil // the next look begins with the first row
			return err
		}
		l.lookedTo = last
	}
	return err
}

// page erases what one page of rows says. It returns how many rows it has, and the last one's id.
func (l *look) page(ctx context.Context, query string, args ...any) (n int, last uuid.UUID, failed error) {
	rows, _ := l.pool.Query(ctx, query, args...) // the rows return the error
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[erasure])
	if len(all) == 0 || err != nil {
		return 0, last, explain(err)
	}
	for i := range all {
		e := &all[i]
		key := l.keys.file
		if key == nil || !hmac.Equal(e.proof(key), e.Proof) {
			if key, err = l.password(); err != nil {
				return 0, last, errors.Join(failed, err)
			}
		}
		if key != nil && hmac.Equal(e.proof(key), e.Proof) {
			failed = errors.Join(failed, l.carryOut(ctx, e, key))
		} else {
			l.refused, l.last = l.refused+1, e.ID
		}
	}
	return len(all), all[len(all)-1].ID, failed
}

// carryOut erases what a row says, and confirms it.
func (l *look) carryOut(ctx context.Context, e *erasure, key []byte) error {
	ids, err := l.erase(ctx, Subject{Calls: e.Calls, Is: e.isNumber(key)})
	if err != nil {
		return err
	}
	return explain(pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		_, err := l.remove(ctx, tx, ids)
		if err == nil {
			_, err = tx.Exec(ctx, confirm, e.ID, l.waitsAs)
		}
		return err
	}))
}

var errProof = errors.New("its proof is not by a key of this node: " +
	"it was ordered at a node whose dsn_file has another password, or none (give all nodes the same, and order it again), " +
	"or somebody else has written or changed rows of flowbridge_erasures (look who may, and delete them)")

// isNumber returns Subject.Is of a row. Messages repeat the same digits often, so it remembers those of others.
func (e *erasure) isNumber(key []byte) func(digits string) bool {
	others := map[string]struct{}{}
	return func(digits string) bool {
		if _, known := others[digits]; known {
			return false
		}
		if hmac.Equal(hashWith(key, e.Salt, digits), e.Number) {
			return true
		}
		if len(others) == 10_000 {
			clear(others)
		}
		others[strings.Clone(digits)] = struct{}{} // digits may be a part of a long text
		return false
	}
}
