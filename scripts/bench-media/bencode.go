package main

import (
	"errors"
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

var errBencode = errors.New("not a bencoded dictionary")

// maxDepth bounds lists and dictionaries within each other.
const maxDepth = 16

// bdecode gives the strings of a dictionary. Its other values are skipped.
func bdecode(text string) (map[string]string, error) {
	if !strings.HasPrefix(text, "d") {
		return nil, errBencode
	}
	d, rest := map[string]string{}, text[1:]
	for !strings.HasPrefix(rest, "e") {
		key, after, ok := cutString(rest)
		if !ok {
			return nil, errBencode
		}
		if value, end, ok := cutString(after); ok {
			d[key], rest = value, end
		} else if rest, ok = skipValue(after, 0); !ok {
			return nil, errBencode
		}
	}
	return d, nil
}

// cutString takes a string from the front: its length, a colon, its bytes.
func cutString(text string) (s, rest string, ok bool) {
	digits, rest, found := strings.Cut(text, ":")
	if !found || len(digits) > 9 {
		return "", "", false
	}
	n, err := strconv.ParseUint(digits, 10, 31)
	if err != nil || int(n) > len(rest) {
		return "", "", false
	}
	return rest[:n], rest[n:], true
}

// skipValue takes a value of any kind from the front. Dictionaries are skipped
// as lists are: keys are values too.
func skipValue(text string, depth int) (rest string, ok bool) {
	switch {
	case strings.HasPrefix(text, "i"):
		_, rest, ok = strings.Cut(text, "e")
		return rest, ok
	case (strings.HasPrefix(text, "l") || strings.HasPrefix(text, "d")) && depth < maxDepth:
		rest, ok = text[1:], true
		for ok && !strings.HasPrefix(rest, "e") {
			rest, ok = skipValue(rest, depth+1)
		}
		if !ok {
			return "", false
		}
		return rest[1:], true
	default:
		_, rest, ok = cutString(text)
		return rest, ok
	}
}
