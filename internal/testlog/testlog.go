// Package testlog keeps the log of a test, which goroutines may write while the test reads it.
package testlog

import (
	"strings"
	"sync"
)

// Log is all that was logged so far. The zero value is an empty log.
type Log struct {
	mu   sync.Mutex
	text strings.Builder
}

// Write adds to the log. It never fails.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// String returns the log.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Count returns how many times a text stands in the log.
func (l *Log) Count(text string) int { return strings.Count(l.String(), text) }
