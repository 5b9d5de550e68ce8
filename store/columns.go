package store

import (
	"cmp"
	"database/sql"
	"encoding/json"
	"fmt"
)

// columnList names the columns of calls in the order of values and targets.
const columnList = `id, node, trunk, route, target, direction, "from", "to", sip_call_id, target_sip_call_id,
	synthflow_call_id, started_at, ringing_at, prepared_at, dialed_at, answered_at, ended_at, setup_ms, duration_ms,
	disposition, sip_status, q850, cause, ended_by, codec, attempts, media, recordings, lead, external_id, trace_id`

// selectList is columnList with the platform's report.
const selectList = columnList + `, (SELECT report FROM reports WHERE reports.id = calls.id)`

// A finished record does not change: a repeated Put has no effect.
const insertCall = `INSERT INTO calls (` + columnList + `)
	VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
	ON CONFLICT (id) DO NOTHING`

// values returns the columns of a finished record.
func (r *Record) values() []any {
	var room [1024]byte
	attempts := string(appendList(room[:0], r.Attempts, appendAttempt))
	media := string(appendMedia(room[:0], &r.Media))
	recordings := string(appendList(room[:0], r.Recordings, appendRecording))
	return []any{
		r.ID, r.Node, r.Trunk, r.Route, r.Target, r.Direction, r.From, r.To, r.SIPCallID, r.TargetSIPCallID,
		r.SynthflowCallID, r.StartedAt.String(), r.RingingAt, r.PreparedAt, r.DialedAt,
		r.AnsweredAt, r.EndedAt, r.SetupMS, r.DurationMS, r.Disposition, r.SIPStatus, r.Q850, r.Cause,
		r.EndedBy, r.Codec, attempts, media, recordings, r.Lead, r.ExternalID, r.TraceID,
	}
}

// insertOther adds an id that the columns don't have.
const insertOther = `INSERT OR IGNORE INTO other_ids (other, id) VALUES (?, ?)`

// otherIDs are the Call-IDs of attempts that came to nothing.
func (r *Record) otherIDs() (all []string) {
	for _, a := range r.Attempts {
		if a.SIPCallID != "" && a.SIPCallID != r.TargetSIPCallID {
			all = append(all, a.SIPCallID)
		}
	}
	return all
}

type row interface{ Scan(dest ...any) error }

func scan(from row) (Record, error) {
	var r Record
	var report sql.NullString
	var attempts, media, recordings string
	err := from.Scan(&r.ID, &r.Node, &r.Trunk, &r.Route, &r.Target, &r.Direction, &r.From, &r.To, &r.SIPCallID,
		&r.TargetSIPCallID, &r.SynthflowCallID, &r.StartedAt, &r.RingingAt, &r.PreparedAt, &r.DialedAt, &r.AnsweredAt,
		&r.EndedAt, &r.SetupMS, &r.DurationMS, &r.Disposition, &r.SIPStatus, &r.Q850, &r.Cause, &r.EndedBy, &r.Codec,
		&attempts, &media, &recordings, &r.Lead, &r.ExternalID, &r.TraceID, &report)
	if err != nil {
		return Record{}, err
	}
	for _, c := range []struct {
		name, text string
		to         any
	}{
		{"attempts", attempts, &r.Attempts},
		{"media", media, &r.Media},
		{"recordings", recordings, &r.Recordings},
		{"report", cmp.Or(report.String, "null"), &r.Report},
	} {
		if err := json.Unmarshal([]byte(c.text), c.to); err != nil {
			return Record{}, fmt.Errorf("%s of call %s: %w", c.name, r.ID, err)
		}
	}
	return r, nil
}
