package store

import (
	"os"
	"testing"
)

// If a kill tears a write anywhere, the call can continue from that write or from the previous one. This still holds
// after other calls have written behind it.
func TestTornStateLeavesTheOneBefore(t *testing.T) {
	j := journalAt(t)
	first, second, other := bare("one"), bare("one"), bare("two")
	second.Cause = "newer"
	j.note(callState, &first, []byte("first"), start)
	begin := j.file.written
	j.note(callState, &second, []byte("second"), start)
	whole, err := os.ReadFile(j.file.name)
	must(t, err)
	end := j.file.written
	j.note(callState, &other, []byte("other"), start)
	behind, err := os.ReadFile(j.file.name)
	must(t, err)
	for cut := begin; cut <= end; cut++ {
		for _, more := range [][]byte{nil, behind[end:j.file.written]} {
			must(t, os.WriteFile(j.file.name, append(append([]byte(nil), whole[:cut]...), more...), 0o600))
			states, err := statesAt(j.path)
			must(t, err)
			want := "first"
			if cut == end {
				want = "second"
			}
			if got := openState(testSeal, "one", states["one"].kept); string(got) != want {
				t.Fatalf("cut at %d of %d: state %q; want %q", cut-begin, end-begin, got, want)
			}
		}
	}
	must(t, j.close())
}
