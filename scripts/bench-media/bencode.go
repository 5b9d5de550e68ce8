package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// bencode encodes a dictionary of strings, in the order of its keys.
func bencode(d map[string]string) string {
	var b strings.Builder
	b.WriteByte('d')
	for _, key := range slices.Sorted(maps.Keys(d)) {
		for _, s := range []string{key, d[key]} {
			fmt.Fprintf(&b, "%d:%s", len(s), s)
		}
	}
	b.WriteByte('e')
	return b.String()
}

// field returns a string from an encoded dictionary, or "" if it has none of that name. It searches for the encoded
// key, which occurs in no session description.
func field(text, key string) string {
	_, after, found := strings.Cut(text, fmt.Sprintf("%d:%s", len(key), key))
	digits, rest, colon := strings.Cut(after, ":")
	n, err := strconv.ParseUint(digits, 10, 31)
	if !found || !colon || err != nil || int(n) > len(rest) {
		return ""
	}
	return rest[:n]
}
