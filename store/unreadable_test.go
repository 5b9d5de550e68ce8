package store

import (
	"fmt"
	"slices"
	"testing"

	"flowbridge/store/record"
)

// Records that can't be read are missing from a list, but no others are, whatever is wrong with them and wherever
// they are.
func TestUnreadableRecords(t *testing.T) {
	path, s := openNew(t)
	var want []string
	for i := range 30 {
		r := sample(fmt.Sprintf("call%02d", i))
		mustPut(t, s, r)
		want = append(want, r.ID)
	}
	db := rawDB(t, path)
	var broken []string
	for i, set := range []string{
		`attempts = '{'`, `media = x'ff00'`, `recordings = '["'`, `setup_ms = 'soon'`, `ended_at = 'later'`, `started_at = 'never'`, `sip_status = '2 0 0'`,
	} {
		for _, n := range []int{i, 10 + i, 20 + i} {
			id := fmt.Sprintf("call%02d", n)
			execute(t, db, `UPDATE calls SET `+set+` WHERE id = ?`, id)
			broken = append(broken, id)
			want = slices.DeleteFunc(want, func(w string) bool { return w == id })
		}
	}
	for _, limit := range []int{1, 2, 3, 7, 100} {
		var got []string
		f := record.Filter{Limit: limit}
		for range 100 {
			records, next, err := s.List(t.Context(), f)
			must(t, err)
			for _, r := range records {
				got = append(got, r.ID)
			}
			if f.Cursor = next; next == "" {
				break
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %q; want %q", limit, got, want)
		}
	}
	slices.Sort(broken)
	if got := s.Unreadable(); !slices.Equal(got, broken) {
		t.Errorf("not readable are %q; want %q", got, broken)
	}
}
