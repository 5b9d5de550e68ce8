package calltest

import (
	"fmt"
	"os"
)

// actDie, where MODEL_DIE is set as scripts/model.sh does, kills the server and starts another one, up to three times in a row: the next
// death comes while the calls are being restored.
func (m *callModel) actDie(choose func(int) int) string {
	if os.Getenv("MODEL_DIE") == "" {
		return "not here"
	}
	times := 1 + choose(3)
	m.settle() // what is on its way would be lost
	for range times {
		m.died = true
		if n := m.w.server.Panics(); n != 0 {
			m.fail("panics were recovered before a death")
		}
		m.w.restart()
	}
	return fmt.Sprintf("%d times", times)
}

// actUpgrade replaces the server by another one, which goes on with all calls, or with none.
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
