package fleet

import (
	"context"
	"crypto/cipher"

	"github.com/jackc/pgx/v5"
)

// Elsewhere is the state of a call that is not on this node: a call of another seat, or a call of its own seat while
// it stands by.
type Elsewhere struct {
	State

	Seat string
	// Node is the name of the seat's owner. It is empty if the database does not have the seat.
	Node string
}

// maxElsewhere bounds the number of states in one answer, which is for people.
const maxElsewhere = 10_000

// fromElsewhere leaves out the calls of the seat that this node serves, because it has them itself, and calls that are
// over, because they have a record.
const fromElsewhere = ` FROM flowbridge_states AS s LEFT JOIN flowbridge_seats AS o USING (seat)
	WHERE s.seat <> $1 AND NOT EXISTS (SELECT FROM flowbridge_calls AS c WHERE c.id = s.id)`

// Elsewhere reads the states of calls of other seats. hidden counts the states that it could not read because they
// have another secret, and those beyond the limit. The error is an AwayError.
func (f *Fleet) Elsewhere(ctx context.Context) (calls []Elsewhere, hidden int, err error) {
	ctx, cancel := context.WithTimeout(ctx, f.within)
	defer cancel()
	total := 0
	if err = f.Reader.pool.QueryRow(ctx, `SELECT count(*)`+fromElsewhere, f.serves()).Scan(&total); err != nil {
		return nil, 0, explain(err)
	}
	if f.Seat == nil { // it has no secret
		return nil, total, nil
	}
	calls, err = f.elsewhere(ctx, ` LIMIT $2`, maxElsewhere)
	return calls, max(0, total-len(calls)), err
}

// FindElsewhere reads the state of one call of another seat. ok is false if there is none that this node can read. The
// error is an AwayError.
func (f *Fleet) FindElsewhere(ctx context.Context, id string) (call Elsewhere, ok bool, err error) {
	if f.Seat == nil {
		return call, false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, f.within)
	defer cancel()
	calls, err := f.elsewhere(ctx, ` AND s.id = $2`, asText(id))
	if err != nil || len(calls) == 0 {
		return call, false, err
	}
	return calls[0], true, nil
}

// serves returns the name of the seat that this node serves, or "".
func (f *Fleet) serves() string {
	if f.Seat == nil || !f.Seat.Serves() {
		return ""
	}
	return f.Seat.name
}

// elsewhere reads the states that match a condition. It derives the keys of the seats that have the same secret as
// this node's seat.
func (f *Fleet) elsewhere(ctx context.Context, condition string, arg any) (calls []Elsewhere, err error) {
	rows, _ := f.Reader.pool.Query(ctx, `SELECT left(s.id, 600), CASE WHEN octet_length(s.state) <= 1 << 20 THEN s.state END,
		left(s.seat, 64), left(coalesce(o.node, ''), 64)`+fromElsewhere+condition,
		f.serves(), arg) // the rows return the error
	seals := map[string]cipher.AEAD{}
	var one Elsewhere
	_, err = pgx.ForEachRow(rows, []any{&one.ID, &one.Text, &one.Seat, &one.Node}, func() error {
		seal := seals[one.Seat]
		if seal == nil {
			if seal, err = f.Seat.sealFor(one.Seat); err != nil {
				return err
			}
			seals[one.Seat] = seal
		}
		if text := f.Seat.states.opened(seal, one.Seat, one.ID, one.Text); text != nil {
			calls = append(calls, Elsewhere{State{one.ID, text}, one.Seat, one.Node})
		}
		return nil
	})
	return calls, explain(err)
}

// sealFor returns the cipher for the states of a seat with the same secret as this one.
func (s *Seat) sealFor(seat string) (cipher.AEAD, error) {
	key, err := derive(&SeatOptions{Name: seat, Secret: s.secret}, "states")
	if err != nil {
		return nil, err
	}
	return sealOf(key)
}

// Node returns the name of this node.
func (f *Fleet) Node() string { return f.member.name }
