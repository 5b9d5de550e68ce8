package fleet

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rs/zerolog"
)

// Admission enforces this node's part of the caps. Share sets the node's place, from 0, and the number of nodes. It
// returns the smallest cap, or 0 if there is none.
type Admission interface {
	Share(place, nodes int) (least int)
	// Busy reports whether the node has calls, or took one in the last minutes.
	Busy() bool
}

// member is this node's row in the database.
type member struct {
	id      string // derived from the signalling key of the node's own database
	process string // identifies this start of the process
	proof   string // Member.Proof
	calls   string // busy or idle
	name    string
	version string
	seat    string // may be empty
	standby bool
	joined  bool
	api     string // Member.API
	numbers string // Member.Numbers
	seatKey string // Member.SeatKey
}

const (
	// plausible is true for a heartbeat of the last day. A heartbeat from the future would count for as long as it is
	// ahead, so it is not plausible. A row that is larger than any node writes is not plausible either.
	plausible = `seen_at BETWEEN clock_timestamp() - interval '24 hours' AND clock_timestamp() + interval '6 seconds'
		AND octet_length(id) + octet_length(process) + octet_length(name) + octet_length(version) + octet_length(seat)
			+ octet_length(api) + octet_length(numbers) + octet_length(seat_key) <= 4096`
	// No registration lasts longer than 15 minutes, and each REGISTER writes its row. Rows that are being written are
	// skipped, because both sides would wait for each other.
	forget = `DELETE FROM flowbridge_nodes WHERE NOT (` + plausible + `);
		DELETE FROM flowbridge_registrations WHERE (holder, place) IN (SELECT holder, place FROM flowbridge_registrations
			WHERE NOT (written_at BETWEEN clock_timestamp() - interval '15 minutes' AND clock_timestamp() + interval '1 day')
			FOR UPDATE SKIP LOCKED)`

	// beat writes this node's heartbeat and returns the age of the previous one. A process that has just started takes
	// over the row of an earlier one, because only one process can have the node's own database. No row is returned if
	// another process has taken the row since. Earlier versions do not know the columns after process.
	beat = `WITH last AS (SELECT clock_timestamp() - seen_at AS age FROM flowbridge_nodes WHERE id = $1 AND ` + plausible + `)
		INSERT INTO flowbridge_nodes AS n (id, process, name, version, seat, standby, api, numbers, seat_key, seen_at)
		VALUES ($1, concat_ws(' ', $2::text, $11::text, $12::text), $3, $4, $6, $7, $8, $9, $10, clock_timestamp())
		ON CONFLICT (id) DO UPDATE SET process = excluded.process, name = excluded.name, version = excluded.version,
			seat = excluded.seat, standby = excluded.standby, api = excluded.api, numbers = excluded.numbers,
			seat_key = excluded.seat_key, seen_at = excluded.seen_at
			WHERE split_part(n.process, ' ', 1) = $2 OR NOT $5
		RETURNING (SELECT age FROM last)`
	leave = `DELETE FROM flowbridge_nodes WHERE id = $1 AND split_part(process, ' ', 1) = $2`

	selectMembers = `SELECT id, name, version, seat, standby, api, numbers, seat_key, split_part(process, ' ', 2),
		CASE WHEN split_part(process, ' ', 3) = 'busy' OR id IN (SELECT owner FROM flowbridge_seats) THEN ''
			WHEN split_part(process, ' ', 3) = 'idle' THEN 'idle' ELSE 'unknown' END, clock_timestamp() - seen_at
		FROM flowbridge_nodes WHERE ` + plausible + ` ORDER BY name COLLATE "C", id LIMIT 10000`
)

// errStolen means that another process has this member's id.
var errStolen = errors.New("another process has this node's id")

// beat writes the member's heartbeat. steady reports that the last one was not long ago.
func (m *member) beat(ctx context.Context, pool *pgxpool.Pool) (steady bool, err error) {
	if _, err := pool.Exec(ctx, forget); err != nil {
		return false, err
	}
	var last *time.Duration
	err = pool.QueryRow(ctx, beat, m.id, m.process, m.name, m.version, m.joined, m.seat, m.standby, m.api, m.numbers,
		m.seatKey, m.proof, m.calls).Scan(&last)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // two processes have copies of one database: this one gets a new id
		m.id, m.joined = uuid.NewString(), false
		return false, errStolen
	case err != nil:
		return false, err
	}
	m.joined = true
	return last != nil && *last >= 0 && *last <= steadyFor, nil
}

// membersOf returns all nodes that the database has.
func membersOf(ctx context.Context, pool *pgxpool.Pool) ([]Member, error) {
	rows, _ := pool.Query(ctx, selectMembers) // the rows return the error
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Member])
}

// runBeat writes heartbeats and shares registrations until ctx ends.
func (f *Fleet) runBeat(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			f.beatOnce(ctx)
		case <-f.registered.wake:
			sleep(ctx, lagFor)
		case <-ctx.Done():
			return
		}
		if f.beatOutage.state() != nil { // until a heartbeat has been written
			continue
		}
		if err := f.share(ctx); err != nil && ctx.Err() == nil {
			f.beatOutage.begin(err)
		}
	}
}

// beatOnce writes one heartbeat and reads the others. Without the database the node keeps its last place.
func (f *Fleet) beatOnce(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, f.beatWithin)
	defer cancel()
	f.beating.Lock()
	defer f.beating.Unlock()
	f.member.numbers, f.member.calls = f.numbers(), "busy"
	if f.admission != nil && !f.admission.Busy() {
		f.member.calls = "idle"
	}
	err := f.ready(ctx)
	var steady bool
	var members []Member
	if err == nil {
		steady, err = f.member.beat(ctx, f.pool)
	}
	if errors.Is(err, errStolen) {
		f.log.Warn().Str("node", f.member.name).Msg("another process has a copy of this node's database: each needs its own")
		return
	}
	if err == nil {
		members, err = membersOf(ctx, f.pool)
	}
	switch {
	case errors.Is(ctx.Err(), context.Canceled): // the node is stopping
	case err != nil:
		f.unready(err)
		f.beatOutage.begin(explain(err))
	default:
		f.beatOutage.end()
		if f.member.standby && f.Seat != nil {
			f.Seat.watch(ctx)
		}
		f.count(ctx, members, steady)
	}
}

// ofRows returns a log for lines about single nodes. A database can have many nodes, so it is limited to 20 lines a
// minute and level.
func ofRows(log zerolog.Logger) zerolog.Logger {
	few := func() zerolog.Sampler { return &zerolog.BurstSampler{Burst: 20, Period: time.Minute} }
	return log.Sample(zerolog.LevelSampler{InfoSampler: few(), WarnSampler: few(), ErrorSampler: few()})
}

// count updates this node's place from the members and logs changes.
func (f *Fleet) count(ctx context.Context, members []Member, steady bool) {
	before := f.census.place
	vanished, back := f.census.take(f.member.id, members, steady, time.Now())
	for _, m := range vanished {
		f.rows.Warn().Str("node", m.Name).Str("id", m.ID).Dur("unseen_ms", m.Age).Int("nodes", f.census.place.Nodes).
			Msg("a node of the fleet has vanished")
	}
	for _, m := range back {
		f.rows.Info().Str("node", m.Name).Str("id", m.ID).Msg("a node of the fleet is back")
	}
	f.noticeTwin(members)
	f.noticeOthers(members)
	f.missing.Store(int64(len(f.census.missing)))
	if f.member.standby || f.census.place == before {
		return
	}
	f.take(f.census.place)
	f.remember(ctx, f.census.place)
}

// take makes the admission enforce this node's part.
func (f *Fleet) take(p Place) {
	f.nodes.Store(int64(p.Nodes))
	if f.admission == nil {
		return
	}
	if least := f.admission.Share(p.Index, p.Nodes); least > 0 && least < p.Nodes {
		f.log.Warn().Int("places", least).Int("nodes", p.Nodes).
			Msg("a cap has fewer places than the fleet has nodes: each node has one")
	}
}

// noticeTwin warns of another node with this node's name, each time such a node appears.
func (f *Fleet) noticeTwin(members []Member) {
	i := slices.IndexFunc(members, func(m Member) bool {
		return m.Live() && m.Name == f.member.name && m.ID != f.member.id
	})
	if i >= 0 && !f.twin {
		f.log.Warn().Str("node", f.member.name).Str("other", members[i].ID).
			Msg("another node has this node's name: set fleet.node")
	}
	f.twin = i >= 0
}

// noticeOthers warns of nodes whose table of numbers differs from this node's, or whose secret for the same seat does.
// It warns once for each change.
func (f *Fleet) noticeOthers(members []Member) {
	told := map[string]string{}
	differs := func(m *Member, what, theirs, own string) bool {
		key, both := what+" "+m.ID, theirs+" "+own
		if theirs == "" || own == "" || theirs == own {
			return false
		}
		before := f.toldOthers[key]
		told[key] = before
		if m.Live() {
			told[key] = both
		}
		return before != told[key]
	}
	for i := range members {
		m := &members[i]
		if differs(m, "numbers", m.Numbers, f.member.numbers) {
			f.rows.Warn().Str("node", m.Name).Str("numbers", m.Numbers).Str("own", f.member.numbers).
				Msg("the table of numbers of another node is another one")
		}
		if m.Seat == f.member.seat && differs(m, "seat", m.SeatKey, f.member.seatKey) {
			f.rows.Error().Str("node", m.Name).Str("seat", m.Seat).
				Msg("another node of this seat has another secret: neither can go on with the other's calls")
		}
	}
	f.toldOthers = told
}
