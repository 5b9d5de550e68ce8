package record

import (
	"encoding/json"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
)

// This file writes JSON exactly as encoding/json does, from the same tags, in a quarter of the time, because each call
// is written several times. TestEncoding compares them for every field.

// shape says how values of a type are written.
type shape struct {
	kind    reflect.Kind
	write   func(b []byte, at unsafe.Pointer) []byte // of a type with a form of its own
	empty   func(at unsafe.Pointer) bool             // of a struct that may be left out
	of      *shape                                   // of the elements of a list or a pointer
	size    uintptr
	members []member // of a struct
}

// member is a field of a struct.
type member struct {
	*shape

	name  string
	key   string // the name as it is written, between a comma and a colon
	index int
	at    uintptr
	kind  reflect.Kind // of the shape, which is farther away
	omit  bool         // while it is zero, or an empty list
}

// membersOf returns the fields of a struct that are in its JSON.
func membersOf(t reflect.Type) (all []member) {
	for f := range t.Fields() {
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" {
			continue
		}
		all = append(all, member{
			shape: shapeOf(f.Type), name: name, key: `,"` + name + `":`, index: f.Index[0], at: f.Offset,
			kind: f.Type.Kind(), omit: strings.HasPrefix(options, "omit"),
		})
	}
	return all
}

// shapeOf returns the shape of a type that occurs in a Record.
func shapeOf(t reflect.Type) *shape {
	s := &shape{kind: t.Kind(), size: t.Size()}
	switch t {
	case reflect.TypeFor[map[string]string]():
		s.write = func(b []byte, at unsafe.Pointer) []byte { return appendVariables(b, *(*map[string]string)(at)) }
		return s
	case reflect.TypeFor[Time]():
		s.write = func(b []byte, at unsafe.Pointer) []byte { return (*Time)(at).appendJSON(b) }
		s.empty = func(at unsafe.Pointer) bool { return (*Time)(at).IsZero() }
		return s
	case reflect.TypeFor[Media]():
		s.empty = func(at unsafe.Pointer) bool { return (*Media)(at).IsZero() }
	case reflect.TypeFor[Score](), reflect.TypeFor[Millis]():
		s.write = func(b []byte, at unsafe.Pointer) []byte {
			if *(*float64)(at) == 0 {
				return append(b, "null"...)
			}
			return appendFloat(b, *(*float64)(at))
		}
		return s
	}
	switch t.Kind() {
	case reflect.Struct:
		s.members = membersOf(t)
	case reflect.Slice, reflect.Pointer:
		s.of = shapeOf(t.Elem())
	case reflect.String, reflect.Int, reflect.Int64, reflect.Uint16, reflect.Bool, reflect.Float64:
	default: // a kind that no field has yet
		s.write = func(b []byte, at unsafe.Pointer) []byte {
			text, err := json.Marshal(reflect.NewAt(t, at).Interface())
			if err != nil {
				return append(b, "null"...)
			}
			return append(b, text...)
		}
		s.empty = func(at unsafe.Pointer) bool { return reflect.NewAt(t, at).Elem().IsZero() }
	}
	return s
}

// add appends the value at an address.
func (s *shape) add(b []byte, at unsafe.Pointer) []byte {
	if s.write != nil {
		return s.write(b, at)
	}
	switch s.kind {
	case reflect.String:
		return appendString(b, *(*string)(at))
	case reflect.Int:
		return strconv.AppendInt(b, int64(*(*int)(at)), 10)
	case reflect.Int64:
		return strconv.AppendInt(b, *(*int64)(at), 10)
	case reflect.Uint16:
		return strconv.AppendUint(b, uint64(*(*uint16)(at)), 10)
	case reflect.Bool:
		return strconv.AppendBool(b, *(*bool)(at))
	case reflect.Float64:
		return appendFloat(b, *(*float64)(at))
	case reflect.Struct:
		return appendMembers(b, at, s.members, false)
	case reflect.Slice:
		return s.addList(b, *(*[]byte)(at))
	default: // a pointer
		if to := *(*unsafe.Pointer)(at); to != nil {
			return s.of.add(b, to)
		}
		return append(b, "null"...)
	}
}

// addList appends a list, which may have any type: only its length and address count. An empty one is [], a nil one
// null.
func (s *shape) addList(b, list []byte) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.of.add(b, unsafe.Add(unsafe.Pointer(unsafe.SliceData(list)), uintptr(i)*s.of.size))
	}
	return append(b, ']')
}

// appendMembers appends a struct, with sparse without any zero field.
func appendMembers(b []byte, at unsafe.Pointer, members []member, sparse bool) []byte {
	b = append(b, '{')
	comma := 1 // of the next key: all but the first have one
	for i := range members {
		m := &members[i]
		to := unsafe.Add(at, m.at)
		switch omit := m.omit || sparse; m.kind {
		case reflect.Int64: // most of them
			if n := *(*int64)(to); n != 0 || !omit {
				b, comma = strconv.AppendInt(append(b, m.key[comma:]...), n, 10), 0
			}
		case reflect.String:
			if s := *(*string)(to); s != "" || !omit {
				b, comma = appendString(append(b, m.key[comma:]...), s), 0
			}
		default:
			if !omit || !m.isEmpty(to) {
				b, comma = m.add(append(b, m.key[comma:]...), to), 0
			}
		}
	}
	return append(b, '}')
}

// isEmpty reports whether a value is zero, or an empty list.
func (s *shape) isEmpty(at unsafe.Pointer) bool {
	switch s.kind {
	case reflect.String:
		return *(*string)(at) == ""
	case reflect.Int:
		return *(*int)(at) == 0
	case reflect.Int64:
		return *(*int64)(at) == 0
	case reflect.Uint16:
		return *(*uint16)(at) == 0
	case reflect.Bool:
		return !*(*bool)(at)
	case reflect.Float64:
		return *(*float64)(at) == 0
	case reflect.Slice:
		return len(*(*[]byte)(at)) == 0
	case reflect.Pointer, reflect.Map:
		return *(*unsafe.Pointer)(at) == nil
	default:
		return s.empty != nil && s.empty(at)
	}
}

func (t Time) appendJSON(b []byte) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return append(t.AppendTo(append(b, '"')), '"')
}

// appendFloat writes 0 for a number that is not finite: JSON can't represent it, and a wrong statistic must not
// lose the record.
func appendFloat(b []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(b, '0')
	}
	if abs := math.Abs(f); abs == 0 || abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); b[n-4] == 'e' && b[n-3] == '-' && b[n-2] == '0' {
		b = append(b[:n-2], b[n-1])
	}
	return b
}

const hexDigits = "0123456789abcdef"

// plain marks the bytes that need no escape in a quoted text.
var plain = func() (all [256]bool) {
	for c := byte(0x20); c < utf8.RuneSelf; c++ {
		all[c] = c != '"' && c != '\\' && c != '<' && c != '>' && c != '&'
	}
	return all
}()

// appendString appends a quoted text. Invalid UTF-8 becomes U+FFFD.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if plain[c] {
			i++
			continue
		}
		r, size := rune(c), 1
		if c >= utf8.RuneSelf {
			r, size = utf8.DecodeRuneInString(s[i:])
			if (r != utf8.RuneError || size > 1) && r != '\u2028' && r != '\u2029' {
				i += size
				continue
			}
		}
		b = append(b, s[from:i]...)
		i += size
		from = i
		switch r {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, `\b`...)
		case '\f':
			b = append(b, `\f`...)
		case '\n':
			b = append(b, `\n`...)
		case '\r':
			b = append(b, `\r`...)
		case '\t':
			b = append(b, `\t`...)
		default:
			b = append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
		}
	}
	return append(append(b, s[from:]...), '"')
}

// appendVariables appends the variables, ordered by name.
func appendVariables(b []byte, all map[string]string) []byte {
	if all == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i, name := range slices.Sorted(maps.Keys(all)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(appendString(b, name), ':'), all[name])
	}
	return append(b, '}')
}

// AppendRecord appends a record in the journal's form: without zero fields, which most fields of a live call are.
func AppendRecord(b []byte, r *Record) []byte {
	return appendMembers(b, unsafe.Pointer(r), columns, true)
}
