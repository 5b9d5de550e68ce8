package record

import (
	"reflect"
	"slices"
	"unsafe"
)

// columns are the columns of a call in the database: the members of Record, in order, without the problems, which are
// found when a record is read, and the report, which has a separate table.
var columns = slices.DeleteFunc(membersOf(reflect.TypeFor[Record]()), func(m member) bool {
	return m.name == "problems" || m.name == "report"
})

// Columns returns the names of the columns, which are those in JSON.
func Columns() (names []string) {
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

// Column returns the address of a column's value: *string, *int, *int64, *Time, or of a value that is stored as JSON.
func (r *Record) Column(i int) any {
	return reflect.ValueOf(r).Elem().Field(columns[i].index).Addr().Interface()
}

// AppendColumn appends the JSON of a column. A list is [] if there is nothing in it.
func (r *Record) AppendColumn(b []byte, i int) []byte {
	c := &columns[i]
	at := unsafe.Add(unsafe.Pointer(r), c.at)
	if c.kind == reflect.Slice && c.isEmpty(at) {
		return append(b, "[]"...)
	}
	return c.add(b, at)
}
