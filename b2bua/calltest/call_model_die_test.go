package calltest

import (
	"fmt"
	"os"
)

// actDie kills the server and starts another one, up to three times in a row, so that the next kill comes while calls
// are being restored. It does nothing unless MODEL_DIE is set, as by scripts/model.sh.
func (m *callModel) actDie(choose func(int) int) string {
	if os.Getenv("MODEL_DIE") == "" {
		return "not here"
	}
	times := 1 + choose(3)
	m.settle() // because a kill loses the messages in flight
	for range times {
		m.died = true
		if n := m.w.server.Panics(); n != 0 {
			m.fail("panics were recovered before a death")
		}
		m.w.restart()
	}
	return fmt.Sprintf("%d times", times)
}

// actUpgrade replaces the server by another one. If the upgrade is refused, the old server continues.
func (m *callModel) actUpgrade(func(int) int) string {
	if os.Getenv("MODEL_DIE") == "" {
		return "not here"
	}
	m.settle()
	if err := m.w.upgrade(); err != nil {
		return "not now: " + err.Error()
	}
	m.died = true
	return "done"
}
