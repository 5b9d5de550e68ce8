package record

import (
	"encoding/json"
	"reflect"
	"slices"
)

// Columns returns the columns of a call in the database, by the JSON names of Record's fields, in order. It leaves out
// the problems, which are found when a record is read, and the report, which has a separate table.
func Columns() (names []string) {
	for _, i := range columnFields {
		names = append(names, reflect.TypeFor[Record]().Field(i).Tag.Get("json"))
	}
	return names
}

var columnFields = func() (all []int) { //nolint:gochecknoglobals // a table
	for i := range reflect.TypeFor[Record]().NumField() {
		switch reflect.TypeFor[Record]().Field(i).Tag.Get("json") {
		case "-", "report", "problems,omitempty":
		default:
			all = append(all, i)
		}
	}
	return all
}()

// Column returns the address of a column's value: *string, *int, *int64, *Time, or of a value that is stored as JSON.
func (r *Record) Column(i int) any {
	return reflect.ValueOf(r).Elem().Field(columnFields[i]).Addr().Interface()
}

// AppendColumn appends the JSON of the value at a column's address.
func AppendColumn(b []byte, column any) []byte {
	switch v := column.(type) {
	case *[]Attempt:
		return appendList(b, *v, appendAttempt)
	case *Media:
		return appendMedia(b, v)
	case *[]Recording:
		return appendList(b, *v, appendRecording)
	case *map[string]string:
		return appendVariables(b, *v)
	}
	text, err := json.Marshal(column)
	if err != nil { // can't happen: the value was read from JSON, or has finite numbers
		text = []byte("null")
	}
	return append(b, text...)
}

// plainColumns returns the columns of the CSV that hold one value, in the CSV's order.
func plainColumns() (all []column) {
	names := Columns()
	for _, name := range []string{
		"id", "node", "trunk", "route", "target", "direction", "from", "to", "lead", "sip_call_id", "target_sip_call_id",
		"synthflow_call_id", "external_id", "trace_id", "restored", "queued_ms", "verstat", "attest", "orig_id", "started_at",
		"ringing_at", "prepared_at", "dialed_at", "answered_at", "ended_at", "setup_ms", "duration_ms", "disposition",
		"sip_status", "q850", "cause", "ended_by", "codec",
	} {
		i := slices.Index(names, name)
		all = append(all, column{name, func(r *Record) string {
			switch v := r.Column(i).(type) {
			case *string:
				return *v
			case *Time:
				return v.String()
			default:
				return compact(v)
			}
		}})
	}
	return all
}
