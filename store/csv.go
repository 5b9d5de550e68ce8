package store

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
)

// The styles of NewCSV: which columns a record has, and how they are called.
const (
	// StyleFlowbridge has the fields of the record under their own names.
	StyleFlowbridge = "flowbridge"
	// StyleAsterisk has the columns of Asterisk's cdr_csv.
	StyleAsterisk = "asterisk"
	// StyleFreeSWITCH has the columns of FreeSWITCH's mod_cdr_csv.
	StyleFreeSWITCH = "freeswitch"
)

// Styles lists the styles.
func Styles() []string { return []string{StyleFlowbridge, StyleAsterisk, StyleFreeSWITCH} }

// CSV writes records as comma-separated values (RFC 4180, with LF at the end of a line). The first line names the columns.
//
// Cells are safe to open in a spreadsheet: a text that it would take for a formula (= + - @ at its beginning) has an
// apostrophe before it. A number in E.164 form, + and digits, stays as it is: taken for a formula, it is its digits.
// Control characters, and those that change the direction of text, are written as \u and four digits.
type CSV struct {
	to      *csv.Writer
	columns []column
	cells   []string
	begun   bool
}

// column is one column of CSV.
type column struct {
	name string
	of   func(r *Record) string
}

// NewCSV writes to w, in one of Styles.
func NewCSV(w io.Writer, style string) *CSV {
	c := &CSV{to: csv.NewWriter(w), columns: recordColumns()}
	switch style {
	case StyleAsterisk:
		c.columns = asteriskColumns()
	case StyleFreeSWITCH:
		c.columns = freeswitchColumns()
	}
	c.cells = make([]string, len(c.columns))
	return c
}

// Begin writes the names of the columns, unless Write has done so.
func (c *CSV) Begin() error {
	if c.begun {
		return nil
	}
	c.begun = true
	for i, col := range c.columns {
		c.cells[i] = col.name
	}
	return c.to.Write(c.cells)
}

// Write writes a record.
func (c *CSV) Write(r *Record) error {
	if err := c.Begin(); err != nil {
		return err
	}
	for i, col := range c.columns {
		c.cells[i] = safeCell(col.of(r))
	}
	return c.to.Write(c.cells)
}

// Flush writes what is held back, and the names of the columns where there was no record.
func (c *CSV) Flush() error {
	if err := c.Begin(); err != nil {
		return err
	}
	c.to.Flush()
	return c.to.Error()
}

// safeCell makes a text harmless to what opens it.
func safeCell(s string) string {
	if strings.ContainsFunc(s, unsafe) {
		var b strings.Builder
		for _, r := range s {
			if unsafe(r) {
				_, _ = fmt.Fprintf(&b, `\u%04x`, r)
			} else {
				b.WriteRune(r)
			}
		}
		s = b.String()
	}
	if s == "" || !strings.ContainsRune("=+-@", rune(s[0])) {
		return s
	}
	if s[0] == '+' && len(s) > 1 && strings.Trim(s[1:], "0123456789") == "" {
		return s
	}
	return "'" + s
}

// unsafe says whether a character does something else than being shown: control characters, the marks and overrides of
// direction (UAX #9), line and paragraph separators, and what is no character at all.
func unsafe(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' || r == unicode.ReplacementChar
}

func recordColumns() []column {
	cols := []column{
		{"id", func(r *Record) string { return r.ID }},
		{"node", func(r *Record) string { return r.Node }},
		{"trunk", func(r *Record) string { return r.Trunk }},
		{"route", func(r *Record) string { return r.Route }},
		{"target", func(r *Record) string { return r.Target }},
		{"direction", func(r *Record) string { return r.Direction }},
		{"from", func(r *Record) string { return r.From }},
		{"to", func(r *Record) string { return r.To }},
		{"lead", func(r *Record) string { return r.Lead }},
		{"sip_call_id", func(r *Record) string { return r.SIPCallID }},
		{"target_sip_call_id", func(r *Record) string { return r.TargetSIPCallID }},
		{"synthflow_call_id", func(r *Record) string { return r.SynthflowCallID }},
		{"external_id", func(r *Record) string { return r.ExternalID }},
		{"trace_id", func(r *Record) string { return r.TraceID }},
		{"restored", func(r *Record) string { return strconv.Itoa(r.Restored) }},
		{"queued_ms", func(r *Record) string { return strconv.FormatInt(r.QueuedMS, 10) }},
		{"verstat", func(r *Record) string { return r.Verstat }},
		{"attest", func(r *Record) string { return r.Attest }},
		{"orig_id", func(r *Record) string { return r.OrigID }},
		{"started_at", func(r *Record) string { return r.StartedAt.String() }},
		{"ringing_at", func(r *Record) string { return r.RingingAt.String() }},
		{"prepared_at", func(r *Record) string { return r.PreparedAt.String() }},
		{"dialed_at", func(r *Record) string { return r.DialedAt.String() }},
		{"answered_at", func(r *Record) string { return r.AnsweredAt.String() }},
		{"ended_at", func(r *Record) string { return r.EndedAt.String() }},
		{"setup_ms", func(r *Record) string { return strconv.FormatInt(r.SetupMS, 10) }},
		{"duration_ms", func(r *Record) string { return strconv.FormatInt(r.DurationMS, 10) }},
		{"disposition", func(r *Record) string { return r.Disposition }},
		{"sip_status", func(r *Record) string { return strconv.Itoa(r.SIPStatus) }},
		{"q850", func(r *Record) string { return strconv.Itoa(r.Q850) }},
		{"cause", func(r *Record) string { return r.Cause }},
		{"ended_by", func(r *Record) string { return r.EndedBy }},
		{"codec", func(r *Record) string { return r.Codec }},
	}
	for _, side := range []struct {
		name string
		of   func(r *Record) *MediaSide
	}{{"a", func(r *Record) *MediaSide { return &r.Media.A }}, {"b", func(r *Record) *MediaSide { return &r.Media.B }}} {
		cols = append(cols,
			column{side.name + "_rx", func(r *Record) string { return strconv.FormatInt(side.of(r).Rx, 10) }},
			column{side.name + "_tx", func(r *Record) string { return strconv.FormatInt(side.of(r).Tx, 10) }},
			column{side.name + "_lost", func(r *Record) string { return strconv.FormatInt(side.of(r).Lost, 10) }},
			column{side.name + "_jitter_ms", func(r *Record) string { return decimal(side.of(r).JitterMS) }},
			column{side.name + "_rtt_ms", func(r *Record) string { return measured(float64(side.of(r).RTT)) }},
			column{side.name + "_mos", func(r *Record) string { return measured(float64(side.of(r).MOS)) }})
	}
	return append(cols,
		column{"mos", func(r *Record) string { return measured(float64(r.Media.MOS)) }},
		column{"one_way", func(r *Record) string { return r.Media.OneWay }},
		column{"gap_ms", func(r *Record) string { return strconv.FormatInt(r.Media.GapMS, 10) }},
		column{"attempts", func(r *Record) string { return compact(r.Attempts) }},
		column{"recordings", func(r *Record) string { return compact(r.Recordings) }},
		column{"report", func(r *Record) string { return compact(r.Report) }})
}

// decimal writes a number as JSON does, but never with an exponent.
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// measured is empty where nothing was measured.
func measured(f float64) string {
	if f == 0 {
		return ""
	}
	return decimal(f)
}

// compact is a list or object as JSON; empty where there is none.
func compact(v any) string {
	text, err := json.Marshal(v)
	if err != nil || string(text) == "null" || string(text) == "[]" {
		return "" // a record that was read from the database can be encoded
	}
	return string(text)
}

// stamp is a time as other systems' records have it, in UTC.
func stamp(t Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// seconds is how long a call lasted in whole seconds, from its start and from its answer.
func seconds(r *Record) (all, billed string) {
	whole := max(0, int64(r.EndedAt.Sub(r.StartedAt.Time).Seconds()))
	return strconv.FormatInt(whole, 10), strconv.FormatInt(r.DurationMS/1000, 10)
}

// asteriskColumns are those of Asterisk's cdr_csv, in its order.
func asteriskColumns() []column {
	constant := func(s string) func(*Record) string { return func(*Record) string { return s } }
	return []column{
		{"accountcode", func(r *Record) string { return r.Trunk }},
		{"src", func(r *Record) string { return r.From }},
		{"dst", func(r *Record) string { return r.To }},
		{"dcontext", func(r *Record) string { return r.Route }},
		{"clid", func(r *Record) string { return r.From }},
		{"channel", func(r *Record) string { return r.SIPCallID }},
		{"dstchannel", func(r *Record) string { return r.TargetSIPCallID }},
		{"lastapp", constant("Dial")},
		{"lastdata", func(r *Record) string { return r.Target }},
		{"start", func(r *Record) string { return stamp(r.StartedAt) }},
		{"answer", func(r *Record) string { return stamp(r.AnsweredAt) }},
		{"end", func(r *Record) string { return stamp(r.EndedAt) }},
		{"duration", func(r *Record) string { all, _ := seconds(r); return all }},
		{"billsec", func(r *Record) string { _, billed := seconds(r); return billed }},
		{"disposition", asteriskDisposition},
		{"amaflags", constant("DOCUMENTATION")},
		{"uniqueid", func(r *Record) string { return r.ID }},
		{"userfield", func(r *Record) string { return r.Cause }},
	}
}

// asteriskDisposition is Asterisk's word for how a call ended.
func asteriskDisposition(r *Record) string {
	switch {
	case !r.AnsweredAt.IsZero():
		return "ANSWERED"
	case r.Disposition == DispositionBusy:
		return "BUSY"
	case r.Disposition == DispositionNoAnswer, r.Disposition == DispositionCancelled:
		return "NO ANSWER"
	}
	return "FAILED"
}

// freeswitchColumns are those of FreeSWITCH's template "example" in cdr_csv.conf, in its order.
func freeswitchColumns() []column {
	codec := func(side func(r *Record) *MediaSide) func(*Record) string {
		return func(r *Record) string { return cmp.Or(side(r).Codec, r.Codec) }
	}
	return []column{
		{"caller_id_name", func(r *Record) string { return r.From }},
		{"caller_id_number", func(r *Record) string { return r.From }},
		{"destination_number", func(r *Record) string { return r.To }},
		{"context", func(r *Record) string { return r.Route }},
		{"start_stamp", func(r *Record) string { return stamp(r.StartedAt) }},
		{"answer_stamp", func(r *Record) string { return stamp(r.AnsweredAt) }},
		{"end_stamp", func(r *Record) string { return stamp(r.EndedAt) }},
		{"duration", func(r *Record) string { all, _ := seconds(r); return all }},
		{"billsec", func(r *Record) string { _, billed := seconds(r); return billed }},
		{"hangup_cause", func(r *Record) string { return hangupCause(r.Q850) }},
		{"uuid", func(r *Record) string { return r.ID }},
		{"bleg_uuid", func(r *Record) string { return r.TargetSIPCallID }},
		{"accountcode", func(r *Record) string { return r.Trunk }},
		{"read_codec", codec(func(r *Record) *MediaSide { return &r.Media.A })},
		{"write_codec", codec(func(r *Record) *MediaSide { return &r.Media.B })},
	}
}

// hangupCause is FreeSWITCH's name of a cause of ITU-T Q.850, as far as calls of ours end with it.
func hangupCause(q850 int) string {
	names := map[int]string{
		1: "UNALLOCATED_NUMBER", 3: "NO_ROUTE_DESTINATION", 16: "NORMAL_CLEARING", 17: "USER_BUSY", 18: "NO_USER_RESPONSE",
		19: "NO_ANSWER", 20: "SUBSCRIBER_ABSENT", 21: "CALL_REJECTED", 22: "NUMBER_CHANGED", 27: "DESTINATION_OUT_OF_ORDER",
		28: "INVALID_NUMBER_FORMAT", 29: "FACILITY_REJECTED", 31: "NORMAL_UNSPECIFIED", 34: "NORMAL_CIRCUIT_CONGESTION",
		38: "NETWORK_OUT_OF_ORDER", 41: "NORMAL_TEMPORARY_FAILURE", 42: "SWITCH_CONGESTION", 47: "RESOURCE_UNAVAILABLE",
		65: "BEARERCAPABILITY_NOTIMPL", 79: "SERVICE_NOT_IMPLEMENTED", 88: "INCOMPATIBLE_DESTINATION",
		102: "RECOVERY_ON_TIMER_EXPIRE", 111: "PROTOCOL_ERROR", 127: "INTERWORKING",
	}
	return cmp.Or(names[q850], "NONE")
}
