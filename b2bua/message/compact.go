package message

import "strings"

// Compact copies strings into one of their own size. They may be parts of messages, which
// they would keep in memory otherwise.
func Compact(all ...*string) {
	n := 0
	for _, s := range all {
		n += len(*s)
	}
	var text strings.Builder
	text.Grow(n)
	for _, s := range all {
		text.WriteString(*s)
	}
	one := text.String()
	for _, s := range all {
		n = len(*s)
		*s, one = one[:n], one[n:]
	}
}
