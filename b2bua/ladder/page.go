package ladder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Kind is the kind of a ladder's entry.
type Kind uint8

// The kinds.
const (
	SIP Kind = iota
	HTTP
	Decision
	Talk // speech: who spoke when
)

func (k Kind) String() string {
	switch k {
	case SIP:
		return "sip"
	case HTTP:
		return "http"
	case Decision, Talk:
	}
	return "decision"
}

// The limits for one call.
const (
	pageSize = 4 << 10
	headMax  = 48 << 10 // bytes of pages for the first entries
	tailMax  = 48 << 10 // bytes of pages for the last entries
	textMax  = 32 << 10 // bytes of the text of one entry
	endsMax  = 200      // pairs of addresses
)

// entry is one message or decision.
type entry struct {
	at       time.Duration // time since the first entry
	kind     Kind
	received bool
	lane     int // lane of the other party
	ends     int // index of the addresses, from 1; 0 if none
	cut      int // bytes of the text that were cut off
	text     []byte
}

// ends are the addresses of a message.
type ends struct {
	local, remote netip.AddrPort
	transport     string
}

// page holds entries, one after the other.
type page struct {
	data    []byte // with spare capacity, unless packed
	entries int
	room    int // bytes that count against its call's limit
	packed  bool
}

// raw returns the page's entries, which must not be changed.
func (p *page) raw() []byte {
	if !p.packed {
		return p.data
	}
	raw, err := unpack(p.data)
	if err != nil {
		return nil // can't happen: pack made it
	}
	return raw
}

// pages holds the entries of a call: the first ones and the last ones. Entries that are dropped in between are
// counted.
type pages struct {
	list        []page
	room        [2]page // memory for list that is enough for most calls
	size        int     // bytes of list, unpacked
	tail        int     // index of the first page of the tail; 0 if none yet
	dropped     int
	added       int           // number of entries, including dropped ones
	addedBefore int           // value of added when compress last ran
	held        *atomic.Int64 // bytes of pages of all calls
	limit       int64         // largest value of held
}

// spares holds free pages. A sync.Pool would lose them at each garbage collection, although the next second's calls
// need them.
type spares struct {
	mu    sync.Mutex
	free  []*[pageSize]byte
	least int // fewest free pages since the last trim
}

// sparesMax bounds the free pages: 16 MB. The pages of all calls of a second come back at once, when their ladders are
// written. At 700 calls a second these are more than 2,000.
const sparesMax = 4096

func (s *spares) take() *[pageSize]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.free) - 1
	if last < 0 {
		return new([pageSize]byte)
	}
	p := s.free[last]
	s.free[last], s.free = nil, s.free[:last]
	s.least = min(s.least, last)
	return p
}

func (s *spares) give(p *[pageSize]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) < sparesMax {
		s.free = append(s.free, p)
	}
}

// trim frees some of the pages that no call has needed since the last trim a second ago,
// so that half of them are gone in six seconds.
func (s *spares) trim() {
	s.mu.Lock()
	defer s.mu.Unlock()
	left := len(s.free) - (s.least+7)/8
	clear(s.free[left:])
	s.free, s.least = s.free[:left], left
}

var pool spares //nolint:gochecknoglobals // a pool

// entryMax bounds the size of an entry without its text.
const entryMax = 2 + 5*binary.MaxVarintLen64

// full reports whether adding an entry drops older ones. Then repeated messages are not
// stored.
func (p *pages) full() bool { return p.tail > 0 }

// add adds an entry, and returns its stored text.
func (p *pages) add(e entry) []byte {
	need := entryMax + len(e.text)
	last := len(p.list) - 1
	if last < 0 || cap(p.list[last].data)-len(p.list[last].data) < need {
		if !p.grow(need) {
			p.dropped++
			return nil
		}
		last = len(p.list) - 1
	}
	at := &p.list[last]
	at.data = appendEntry(at.data, e)
	at.entries++
	p.added++
	return at.data[len(at.data)-len(e.text):]
}

// grow adds a page, and drops the oldest pages of the tail if the call has too many. It
// returns false if all calls together have too many.
func (p *pages) grow(need int) bool {
	size := max(need, pageSize)
	if p.held.Load()+int64(size) > p.limit {
		return false
	}
	if p.tail == 0 && p.size+size > headMax && len(p.list) > 0 {
		p.tail = len(p.list)
	}
	for p.tail > 0 && p.tail < len(p.list) && p.size+size > headMax+tailMax {
		p.dropped += p.list[p.tail].entries
		p.release(p.tail)
		p.list = append(p.list[:p.tail], p.list[p.tail+1:]...)
	}
	var room []byte
	if size == pageSize {
		room = pool.take()[:0]
	} else {
		room = make([]byte, 0, size)
	}
	p.list = append(p.list, page{data: room, room: size})
	if len(p.list) > len(p.room) {
		p.room = [2]page{} // list has been reallocated
	}
	p.size += size
	p.held.Add(int64(size))
	return true
}

// release frees one page.
func (p *pages) release(i int) {
	p.size -= p.list[i].room
	p.free(p.list[i].data)
	p.list[i].data = nil
}

// free returns memory to the pool.
func (p *pages) free(room []byte) {
	p.held.Add(-int64(cap(room)))
	if cap(room) == pageSize {
		pool.give((*[pageSize]byte)(room[:pageSize]))
	}
}

// compress compresses the pages if nothing was added since its last call, because a call is quiet once it is answered.
// Later entries go to a new page. Unless pages are dropped, all become one page.
func (p *pages) compress() {
	quiet := p.added == p.addedBefore
	p.addedBefore = p.added
	if !quiet || len(p.list) == 0 || p.list[len(p.list)-1].packed {
		return
	}
	if !p.full() {
		one := p.pack(p.list)
		clear(p.list)
		p.list = append(p.list[:0], one)
	}
	for i := range p.list {
		if !p.list[i].packed {
			p.list[i] = p.pack(p.list[i : i+1])
		}
	}
}

// pack compresses several pages into one, and frees their memory.
func (p *pages) pack(all []page) (one page) {
	raw := raws.Get().(*[]byte)
	defer raws.Put(raw)
	*raw = (*raw)[:0]
	for i := range all {
		*raw = append(*raw, all[i].raw()...)
		one.entries, one.room = one.entries+all[i].entries, one.room+all[i].room
		p.free(all[i].data)
	}
	whole := len(*raw)
	*raw = pack(*raw, *raw)
	one.data, one.packed = slices.Clip(bytes.Clone((*raw)[whole:])), true
	p.held.Add(int64(cap(one.data)))
	return one
}

// clear frees all pages.
func (p *pages) clear() {
	for i := range p.list {
		p.release(i)
	}
	p.list, p.tail = nil, 0
}

// appendEntry appends an entry to a page.
func appendEntry(b []byte, e entry) []byte {
	flags := byte(e.kind)
	if e.received {
		flags |= 1 << 2
	}
	b = append(b, flags)
	b = binary.AppendVarint(b, int64(e.at/time.Microsecond))
	b = binary.AppendUvarint(b, uint64(e.lane))
	b = binary.AppendUvarint(b, uint64(e.ends))
	b = binary.AppendUvarint(b, uint64(e.cut))
	b = binary.AppendUvarint(b, uint64(len(e.text)))
	return append(b, e.text...)
}

// errMalformed means that bytes are not a ladder.
var errMalformed = errors.New("not a ladder, or damaged")

// reader reads appended values. After an error it returns zeros.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fail() { r.rest, r.err = nil, errMalformed }

func (r *reader) byte() byte {
	if len(r.rest) == 0 {
		r.fail()
		return 0
	}
	b := r.rest[0]
	r.rest = r.rest[1:]
	return b
}

func (r *reader) varint() int64 {
	v, n := binary.Varint(r.rest)
	if n <= 0 {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return v
}

// uvarint reads a number of at most limit.
func (r *reader) uvarint(limit int) int {
	v, n := binary.Uvarint(r.rest)
	if n <= 0 || v > uint64(limit) {
		r.fail()
		return 0
	}
	r.rest = r.rest[n:]
	return int(v)
}

// bytes reads a text with its length. The result is a slice of the input.
func (r *reader) bytes() []byte {
	n := r.uvarint(len(r.rest))
	if n > len(r.rest) { // the limit above included the bytes of n itself
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// maxMicroseconds bounds times within a ladder: a hundred years.
const maxMicroseconds = 100 * 366 * 24 * 3600 * 1_000_000

func (r *reader) entry() (e entry) {
	flags := r.byte()
	e.kind, e.received = Kind(flags&3), flags&(1<<2) != 0
	at := r.varint()
	if at > maxMicroseconds || at < -maxMicroseconds {
		r.fail()
	}
	e.at = time.Duration(at) * time.Microsecond
	e.lane = r.uvarint(1 << 16)
	e.ends = r.uvarint(1 << 16)
	e.cut = r.uvarint(1 << 30)
	e.text = r.bytes()
	return e
}
