package ladder

import (
	"bytes"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"flowbridge/b2bua/message"
)

// raws has buffers for uncompressed ladders.
var raws = sync.Pool{New: func() any { return new([]byte) }} //nolint:gochecknoglobals // a pool

// Encode appends the call's ladder in the form that Decode reads. After Release it appends nothing.
func (c *Call) Encode(b []byte) []byte {
	raw := raws.Get().(*[]byte)
	defer raws.Put(raw)
	*raw = c.append((*raw)[:0])
	if len(*raw) == 0 {
		return b
	}
	return pack(b, *raw)
}

// Plain is Encode without the compression, which costs more than the rest. It is for ladders that are usually replaced
// soon.
func (c *Call) Plain(b []byte) []byte {
	from := len(b)
	b = c.append(append(b, plain))
	if len(b) == from+1 {
		return b[:from]
	}
	return b
}

// append appends the call's ladder, or nothing after Release.
func (c *Call) append(b []byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.released {
		return b
	}
	b = appendText(appendText(b, c.id), c.trace)
	b = appendTime(b, c.begin)
	b = binary.AppendUvarint(b, uint64(c.pages.dropped))
	b = binary.AppendUvarint(b, uint64(len(c.lanes)))
	for _, l := range c.lanes {
		b = appendText(appendText(b, l.Name), l.Kind)
	}
	b = binary.AppendUvarint(b, uint64(len(c.ends)))
	for _, e := range c.ends {
		b = appendText(appendAddr(appendAddr(b, e.local), e.remote), e.transport)
	}
	b = c.series.encode(b)
	for i := range c.pages.list {
		b = append(b, c.pages.list[i].raw()...)
	}
	if e, ok := c.talk(); ok { // the speech so far
		b = appendEntry(b, e)
	}
	return b
}

func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

func appendAddr(b []byte, a netip.AddrPort) []byte {
	var room [32]byte
	raw, _ := a.AppendBinary(room[:0]) // never fails
	return append(binary.AppendUvarint(b, uint64(len(raw))), raw...)
}

func appendTime(b []byte, t time.Time) []byte {
	var room [16]byte
	raw, err := t.UTC().AppendBinary(room[:0])
	if err != nil {
		raw = nil
	}
	return append(binary.AppendUvarint(b, uint64(len(raw))), raw...)
}

func (r *reader) text() string { return string(r.bytes()) }

func (r *reader) addr() (a netip.AddrPort) {
	if err := a.UnmarshalBinary(r.bytes()); err != nil {
		r.fail()
	}
	return a
}

func (r *reader) time() (t time.Time) {
	if err := t.UnmarshalBinary(r.bytes()); err != nil {
		r.fail()
	}
	return t.UTC()
}

func (s *series) encode(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(s.count))
	if s.count == 0 {
		return b
	}
	b = appendTime(b, s.begin)
	b = binary.AppendUvarint(b, uint64(s.every/time.Millisecond))
	return append(b, s.points...)
}

func appendPoint(b []byte, p Point) []byte {
	b = binary.AppendUvarint(b, uint64(p.MS))
	for side := range 2 {
		f := p.of(side)
		b = binary.AppendUvarint(b, uint64(f.Rx))
		b = binary.AppendUvarint(b, uint64(f.Tx))
		b = binary.AppendUvarint(b, uint64(f.Lost))
		b = binary.AppendUvarint(b, uint64(min(max(10*f.Jitter, 0), 1e6)))
	}
	return b
}

func (r *reader) series() *Streams {
	n := r.uvarint(pointsMax)
	if n == 0 {
		return nil
	}
	s := &Streams{Start: stamp(r.time()), Interval: int64(r.uvarint(math.MaxInt32)), Points: make([]Point, 0, n)}
	for range n {
		s.Points = append(s.Points, r.point())
	}
	return s
}

func (r *reader) point() Point {
	p := Point{MS: int64(r.uvarint(math.MaxInt))}
	for side := range 2 {
		f := p.of(side)
		f.Rx, f.Tx, f.Lost = r.uvarint(pointMost), r.uvarint(pointMost), r.uvarint(pointMost)
		f.Jitter = float64(r.uvarint(1e6)) / 10
	}
	return p
}

// Continue makes a new call's ladder begin with the part that another process has encoded. It leaves out parts that it
// can't read.
func (c *Call) Continue(encoded []byte) {
	raw, err := unpack(encoded)
	if err != nil || !c.decides() {
		return
	}
	l, begin, all, entries, err := parse(raw)
	if err != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begin, c.lanes, c.ends, c.pages.dropped = begin, l.Lanes, all, l.Dropped
	for _, e := range entries {
		if e.kind != Talk { // the final figures come at the end
			c.pages.add(e)
		}
	}
}

// Ladder returns the ladder of a call so far, or nil after Release.
func (c *Call) Ladder() (*Ladder, error) {
	raw := c.append(nil)
	if raw == nil {
		return nil, nil
	}
	l, err := decode(raw)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l.Live = !c.over
	return l, nil
}

// Decode reads what Encode has written. For any input it returns a ladder or an error.
func Decode(b []byte) (*Ladder, error) {
	raw, err := unpack(b)
	if err != nil {
		return nil, err
	}
	return decode(raw)
}

// Search reports whether found is true for a text of an encoded ladder: a message, a decision or the name of a party.
func Search(b []byte, found func(text string) bool) (bool, error) {
	raw, err := unpack(b)
	if err != nil {
		return false, err
	}
	l, _, _, entries, err := parse(raw)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(entries, func(e entry) bool { return e.kind != Talk && found(string(e.text)) }) ||
		slices.ContainsFunc(l.Lanes, func(lane Lane) bool { return found(lane.Name) }), nil
}

func decode(raw []byte) (*Ladder, error) {
	l, begin, all, entries, err := parse(raw)
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(entries, func(a, b entry) int { return int(min(max(a.at-b.at, -1), 1)) })
	seen := map[string]bool{}
	for _, e := range entries {
		if e.kind == Talk {
			l.Talk = speechOf(e, begin)
			continue
		}
		m := messageOf(e, begin)
		if e.ends > 0 {
			at := all[e.ends-1]
			m.Local, m.Remote, m.Transport, m.ends = Shown(at.local), Shown(at.remote), at.transport, at
		}
		if e.kind == SIP {
			key := string(binary.AppendUvarint([]byte{byte(m.From), byte(m.To)}, uint64(e.lane))) + string(e.text)
			m.Retransmission = seen[key]
			seen[key] = true
		}
		l.Messages = append(l.Messages, m)
	}
	if len(l.Messages) > 0 {
		for i := range l.Messages {
			l.Messages[i].MS -= l.Messages[0].MS * float64(min(i, 1))
		}
		l.Messages[0].MS = 0
	}
	return l, nil
}

// parse reads a ladder except its messages, which it returns as entries.
func parse(raw []byte) (l *Ladder, begin time.Time, all []ends, entries []entry, err error) {
	r := reader{rest: raw}
	l = &Ladder{ID: r.text(), TraceID: r.text(), Messages: []Message{}}
	begin = r.time()
	l.Dropped = r.uvarint(math.MaxInt32)
	for range r.uvarint(lanesMax) {
		l.Lanes = append(l.Lanes, Lane{Name: clean(r.text()), Kind: clean(r.text())})
	}
	for range r.uvarint(endsMax) {
		all = append(all, ends{local: r.addr(), remote: r.addr(), transport: clean(r.text())})
	}
	l.Streams = r.series()
	for len(r.rest) > 0 {
		e := r.entry()
		if e.lane >= len(l.Lanes) || e.ends > len(all) {
			r.fail()
		}
		entries = append(entries, e)
	}
	if len(l.Lanes) <= laneSelf {
		r.fail()
	}
	return l, begin, all, entries, r.err
}

// Shown returns an address in a log or ladder, or empty if there is none.
func Shown(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// messageOf returns an entry in the form that is shown.
func messageOf(e entry, begin time.Time) Message {
	at := begin.Add(e.at)
	m := Message{
		At: stamp(at), MS: float64(e.at.Microseconds()) / 1000, Kind: e.kind.String(), From: laneSelf, To: e.lane, Cut: e.cut,
		raw: e.text, at: at,
	}
	if e.received {
		m.From, m.To = e.lane, laneSelf
	}
	if e.kind == Decision {
		m.Summary = oneLine(e.text)
		return m
	}
	m.Text = clean(string(e.text))
	line, _ := message.CutLine(e.text)
	m.Summary = oneLine(line)
	first, second, _ := strings.Cut(m.Summary, " ")
	status := strings.HasPrefix(first, "SIP/") || strings.HasPrefix(first, "HTTP/")
	switch {
	case status:
		m.Status, m.Summary = statusOf(second), second
	case second != "":
		m.Method = first
	}
	if !status {
		m.Summary = strings.TrimSuffix(strings.TrimSuffix(m.Summary, " SIP/2.0"), " HTTP/1.1")
	}
	if e.kind == SIP {
		msg, _ := message.Scan(e.text)
		m.SIPCallID = oneLine(msg.CallID)
		m.CSeq = oneLine(bytes.Join([][]byte{msg.CSeq, msg.CSeqMethod()}, []byte(" ")))
		if status {
			m.Method = oneLine(msg.CSeqMethod())
		}
	}
	return m
}

// statusOf reads the status in front of a phrase. It returns 0 if there is none.
func statusOf(text string) (n int) {
	if len(text) < 3 {
		return 0
	}
	for _, c := range text[:3] {
		if c < '0' || c > '9' {
			return 0
		}
		n = 10*n + int(c-'0')
	}
	return n
}
