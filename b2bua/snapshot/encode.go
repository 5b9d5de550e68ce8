package snapshot

import (
	"encoding"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unsafe"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/sdp"
)

// This file encodes states as CBOR (RFC 8949). Decode uses a library. Encoding does not, because a
// call's state is written several times, each time with some 500 fields, most of them zero, and the
// library needs four times as long for that.

// shape describes how values of a type are written.
type shape struct {
	kind   reflect.Kind
	form   func(b []byte, at unsafe.Pointer) []byte // set for a type with its own encoding; otherwise nil
	size   uintptr
	of     *shape  // shape of the elements of a pointer, a slice or an array
	count  int     // length of an array
	fields []field // for a struct
}

// forms has the types with their own encoding.
var forms = map[reflect.Type]func(b []byte, at unsafe.Pointer) []byte{
	reflect.TypeFor[netip.AddrPort]():   addBinary[netip.AddrPort],
	reflect.TypeFor[netip.Prefix]():     addBinary[netip.Prefix],
	reflect.TypeFor[message.Kept]():     addBinary[message.Kept],
	reflect.TypeFor[netip.Addr]():       addText[netip.Addr],
	reflect.TypeFor[message.KeptAddr](): addText[message.KeptAddr],
	reflect.TypeFor[sdp.FormatStates](): addText[sdp.FormatStates],
	reflect.TypeFor[sdp.CodecState]():   addText[sdp.CodecState],
}

// field is a field of a struct. It is small, because there are some 500 fields in all structs.
type field struct {
	*shape
	at  uint32
	key uint8
}

var callShape = sync.OnceValues(func() (*shape, error) { return shapes{}.of(reflect.TypeFor[Call]()) })

// These are the major types of RFC 8949 section 3.1, and the simple values of section 3.3.
const (
	majorUnsigned = 0 << 5
	majorNegative = 1 << 5
	majorBytes    = 2 << 5
	majorText     = 3 << 5
	majorArray    = 4 << 5
	majorMap      = 5 << 5

	valueFalse = 0xf4
	valueTrue  = 0xf5
	valueNull  = 0xf6
)

// appendHead appends a major type with its argument.
func appendHead(b []byte, major byte, n uint64) []byte {
	switch {
	case n < 24:
		return append(b, major|byte(n))
	case n < 1<<8:
		return append(b, major|24, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(b, major|25), uint16(n))
	case n < 1<<32:
		return binary.BigEndian.AppendUint32(append(b, major|26), uint32(n))
	}
	return binary.BigEndian.AppendUint64(append(b, major|27), n)
}

var errKind = errors.New("nothing writes this kind")

// shapes has each type's shape only once, so that the few common shapes stay in the processor's cache.
type shapes map[reflect.Type]*shape

// of returns the shape of a type. An error means that the type can't be encoded.
func (all shapes) of(t reflect.Type) (s *shape, err error) {
	s = all[t]
	if s != nil {
		return s, nil
	}
	s = &shape{kind: t.Kind(), size: t.Size()}
	all[t] = s
	s.form = forms[t]
	if s.form != nil {
		return s, nil
	}
	switch t.Kind() {
	case reflect.Bool, reflect.String, reflect.Int, reflect.Int16, reflect.Int32, reflect.Int64, reflect.Uint8,
		reflect.Uint16, reflect.Uint32, reflect.Uint64:
	case reflect.Array, reflect.Slice, reflect.Pointer:
		if t.Kind() == reflect.Array {
			s.count = t.Len()
		}
		s.of, err = all.of(t.Elem())
	case reflect.Struct:
		s.fields, err = all.fields(t)
	default:
		err = fmt.Errorf("%v: %w", t, errKind)
	}
	return s, err
}

func (all shapes) fields(t reflect.Type) (fields []field, err error) {
	for f := range t.Fields() {
		number, _, _ := strings.Cut(f.Tag.Get("cbor"), ",")
		if number == "-" {
			continue
		}
		key, err := strconv.ParseUint(number, 10, 8)
		if err != nil {
			return nil, fmt.Errorf("%v.%s has no number: %w", t, f.Name, err)
		}
		of, err := all.of(f.Type)
		if err != nil {
			return nil, fmt.Errorf("%v.%s: %w", t, f.Name, err)
		}
		fields = append(fields, field{shape: of, at: uint32(f.Offset), key: uint8(key)})
	}
	return fields, nil
}

// add appends the value at an address.
func (s *shape) add(b []byte, at unsafe.Pointer) []byte {
	if s.form != nil {
		return s.form(b, at)
	}
	switch s.kind {
	case reflect.Struct:
		return s.addFields(b, at)
	case reflect.Array:
		return s.addAll(b, at, s.count)
	case reflect.Slice:
		v := *(*[]byte)(at) // for any element type, only to read length and address
		if s.of.kind == reflect.Uint8 {
			return append(appendHead(b, majorBytes, uint64(len(v))), v...)
		}
		return s.addAll(b, unsafe.Pointer(unsafe.SliceData(v)), len(v))
	case reflect.Pointer:
		to := *(*unsafe.Pointer)(at)
		if to == nil {
			return append(b, valueNull)
		}
		return s.of.add(b, to)
	case reflect.String:
		v := *(*string)(at)
		return append(appendHead(b, majorText, uint64(len(v))), v...)
	case reflect.Bool:
		if *(*bool)(at) {
			return append(b, valueTrue)
		}
		return append(b, valueFalse)
	default:
		return s.addNumber(b, at)
	}
}

// addFields appends a struct as a map, without the fields that are zero.
func (s *shape) addFields(b []byte, at unsafe.Pointer) []byte {
	b = append(b, majorMap|24, 0) // the number of pairs, in one byte
	head, n := len(b)-1, byte(0)
	for i := range s.fields {
		f := &s.fields[i]
		if v := unsafe.Add(at, f.at); !f.isZero(v) {
			b = f.add(appendHead(b, majorUnsigned, uint64(f.key)), v)
			n++
		}
	}
	b[head] = n
	return b
}

// isZero reports whether a value is zero or empty. A struct with only zero values may count as not zero.
func (s *shape) isZero(at unsafe.Pointer) bool {
	switch s.kind {
	case reflect.String:
		return *(*string)(at) == ""
	case reflect.Slice:
		return len(*(*[]byte)(at)) == 0
	default:
	}
	i := uintptr(0)
	for ; i+8 <= s.size; i += 8 {
		if *(*uint64)(unsafe.Add(at, i)) != 0 {
			return false
		}
	}
	for ; i < s.size; i++ {
		if *(*uint8)(unsafe.Add(at, i)) != 0 {
			return false
		}
	}
	return true
}

// addAll appends n consecutive values.
func (s *shape) addAll(b []byte, at unsafe.Pointer, n int) []byte {
	b = appendHead(b, majorArray, uint64(n))
	for i := range n {
		b = s.of.add(b, unsafe.Add(at, uintptr(i)*s.of.size))
	}
	return b
}

func (s *shape) addNumber(b []byte, at unsafe.Pointer) []byte {
	var v int64
	switch s.kind {
	case reflect.Int:
		v = int64(*(*int)(at))
	case reflect.Int64:
		v = *(*int64)(at)
	case reflect.Int16:
		v = int64(*(*int16)(at))
	case reflect.Int32:
		v = int64(*(*int32)(at))
	case reflect.Uint8:
		v = int64(*(*uint8)(at))
	case reflect.Uint16:
		v = int64(*(*uint16)(at))
	case reflect.Uint32:
		v = int64(*(*uint32)(at))
	default:
		return appendHead(b, majorUnsigned, *(*uint64)(at))
	}
	if v < 0 {
		return appendHead(b, majorNegative, uint64(-1-v))
	}
	return appendHead(b, majorUnsigned, uint64(v))
}

// addBinary appends a value with a binary form.
func addBinary[T encoding.BinaryAppender](b []byte, at unsafe.Pointer) []byte {
	from := len(b)
	b, _ = (*(*T)(at)).AppendBinary(b) // never an error
	return insertHead(b, from, majorBytes)
}

// addText appends a value with a text form.
func addText[T encoding.TextAppender](b []byte, at unsafe.Pointer) []byte {
	from := len(b)
	b, _ = (*(*T)(at)).AppendText(b) // never an error
	return insertHead(b, from, majorText)
}

// insertHead inserts the head of the value that begins at from.
func insertHead(b []byte, from int, major byte) []byte {
	var head [9]byte
	return slices.Insert(b, from, appendHead(head[:0], major, uint64(len(b)-from))...)
}
