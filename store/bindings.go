package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"net/netip"
	"sync"
	"time"
)

// Binding is a Contact that has registered here (RFC 3261 section 10).
type Binding struct {
	Contact    string         `json:"contact"`            // its URI
	Instance   string         `json:"instance,omitempty"` // of the device (RFC 5626 section 4.1), with its reg-id; empty: it has not said
	Q          int            `json:"q"`                  // thousandths: the preference among Contacts
	CallID     string         `json:"call_id"`            // of the REGISTER that has made it
	CSeq       uint32         `json:"cseq"`
	Path       []string       `json:"path,omitempty"` // of the proxies on the way (RFC 3327), the nearest to us first
	Received   netip.AddrPort `json:"received"`       // where the REGISTER came from
	Transport  string         `json:"transport"`      // udp, tcp or tls
	Flow       uint64         `json:"flow,omitempty"` // the connection that it came by, as long as that lasts; 0: none
	Agent      string         `json:"user_agent,omitempty"`
	Registered time.Time      `json:"registered_at"` // the last REGISTER
	Expires    time.Time      `json:"expires_at"`
}

// keptBinding is a binding on file. Its times are those of the wall clock at the moment.
type keptBinding struct {
	Binding
	moment
}

// withMonotonicTimes gives the binding with times that setting the wall clock does not move.
func (b Binding) withMonotonicTimes(now time.Time) Binding {
	b.Registered, b.Expires = now.Add(b.Registered.Sub(now)), now.Add(b.Expires.Sub(now))
	return b
}

// asOf gives the binding as it is at a later moment, whatever the wall clock was set to in between.
func (k *keptBinding) asOf(now moment) Binding {
	set := now.Wall.Sub(k.Wall) - now.since(k.moment)
	set = set.Round(time.Second) // else it was not set
	k.Registered, k.Expires = k.Registered.Add(set), k.Expires.Add(set)
	return k.withMonotonicTimes(now.Wall)
}

// bindings are those that wait for the writer.
type bindings struct {
	mu      sync.Mutex               // guards what follows
	pending map[string][]keptBinding // by holder
	asked   bool                     // the writer is to come for them
}

// KeepBindings keeps the bindings of a holder in place of those before. It does not block. What the disk does not take goes with
// the next ones; what a kill takes with it, the next REGISTER brings back.
func (s *Store) KeepBindings(holder string, all []Binding) {
	now, list := s.journal.moment(time.Now()), make([]keptBinding, len(all))
	for i := range all {
		list[i] = keptBinding{all[i].withMonotonicTimes(now.Wall), now}
	}
	b := &s.bound
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pending == nil {
		b.pending = map[string][]keptBinding{}
	}
	b.pending[holder] = list
	if b.asked {
		return
	}
	b.asked = s.queue.ask(job{run: s.writeBindings, done: make(chan error, 1)}) == nil
}

func (s *Store) writeBindings(ctx context.Context, c *sql.Conn) error {
	b := &s.bound
	b.mu.Lock()
	all := b.pending
	b.pending, b.asked = nil, false
	b.mu.Unlock()
	err := inTx(ctx, c, func(tx *sql.Tx) error {
		for holder, of := range all {
			if len(of) == 0 {
				if _, err := tx.ExecContext(ctx, `DELETE FROM registrations WHERE holder = ?`, holder); err != nil {
					return err
				}
				continue
			}
			text, err := json.Marshal(of)
			if err != nil {
				return err
			}
			if _, err = tx.ExecContext(ctx, `INSERT INTO registrations (holder, bindings) VALUES (?1, ?2)
				ON CONFLICT (holder) DO UPDATE SET bindings = excluded.bindings`, holder, string(text)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for holder, of := range all {
		if _, newer := b.pending[holder]; !newer {
			if b.pending == nil {
				b.pending = map[string][]keptBinding{}
			}
			b.pending[holder] = of
		}
	}
	return err
}

// Bindings gives what was registered when the process before ended, by holder. A row that can't be read is left out: the next
// REGISTER replaces it.
func (s *Store) Bindings(ctx context.Context) (map[string][]Binding, error) {
	all, now := map[string][]Binding{}, s.journal.moment(time.Now())
	err := s.do(ctx, "bindings", func(ctx context.Context, c *sql.Conn) error {
		rows, err := c.QueryContext(ctx, `SELECT holder, bindings FROM registrations`)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var holder, text string
			if err := rows.Scan(&holder, &text); err != nil {
				return err
			}
			var of []keptBinding
			if json.Unmarshal([]byte(text), &of) != nil {
				continue
			}
			all[holder] = nil
			for i := range of {
				all[holder] = append(all[holder], of[i].asOf(now))
			}
		}
		return rows.Err()
	})
	return all, err
}
