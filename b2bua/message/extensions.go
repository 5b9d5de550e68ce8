package message

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// These are the errors in headers of session timers and reliable provisional responses.
var (
	errSessionExpires = errors.New("not a Session-Expires")
	errMinSE          = errors.New("not a Min-SE")
	errRSeq           = errors.New("not an RSeq")
	errRAck           = errors.New("not an RAck")
)

// maxDelta bounds a number of seconds. RFC 3261 section 20.19 allows 2**32-1, but no
// session lasts 68 years.
const maxDelta = 1<<31 - 1

// SessionExpires is the value of a Session-Expires (RFC 4028 section 4). Min-SE is its
// lower bound.
type SessionExpires struct {
	Interval  time.Duration // in whole seconds
	Refresher string        // uac or uas, or empty if neither side was chosen
}

// parseSessionExpires reads a Session-Expires. Unknown parameters are ignored.
func parseSessionExpires(value string) (s SessionExpires, err error) {
	var params string
	if s.Interval, params, err = delta(value, errSessionExpires); err != nil {
		return SessionExpires{}, err
	}
	for params != "" {
		var key, v string
		if key, v, params = CutParam(params); !EqualFold(key, "refresher") {
			continue
		}
		switch {
		case s.Refresher != "":
			return SessionExpires{}, fmt.Errorf("%w: two refreshers", errSessionExpires)
		case EqualFold(v, "uac"), EqualFold(v, "uas"):
			s.Refresher = strings.ToLower(v)
		default:
			return SessionExpires{}, fmt.Errorf("%w: the refresher %q", errSessionExpires, Phrase(v))
		}
	}
	return s, nil
}

// String returns the header's value.
func (s SessionExpires) String() string {
	if s.Refresher == "" {
		return seconds(s.Interval)
	}
	return seconds(s.Interval) + ";refresher=" + s.Refresher
}

// SessionExpiresOf returns the Session-Expires of a message, or nil if there is none. Two such
// headers are an error, because implementations differ in which of them they use.
func SessionExpiresOf(msg sip.Message) (*SessionExpires, error) {
	all := RawValues(msg, "session-expires", "x")
	switch len(all) {
	case 0:
		return nil, nil
	case 1:
		s, err := parseSessionExpires(all[0])
		if err != nil {
			return nil, err
		}
		return &s, nil
	default:
		return nil, fmt.Errorf("%w: there are %d", errSessionExpires, len(all))
	}
}

// ParseMinSE reads a Min-SE (RFC 4028 section 5).
func ParseMinSE(value string) (time.Duration, error) {
	d, _, err := delta(value, errMinSE)
	return d, err
}

// FormatMinSE writes a Min-SE.
func FormatMinSE(d time.Duration) string { return seconds(d) }

// delta reads delta-seconds and the parameters after them (RFC 3261 section 25.1).
func delta(value string, wrong error) (d time.Duration, params string, err error) {
	number, params, _ := CutByte(value, ';')
	n, ok := Decimal(Trim(number), maxDelta)
	if !ok {
		return 0, "", fmt.Errorf("%w: %q is no number of seconds below 2**31", wrong, Phrase(number))
	}
	return time.Duration(n) * time.Second, params, nil
}

// seconds writes delta-seconds, rounded up to whole seconds.
func seconds(d time.Duration) string {
	n := (max(d, 0) + time.Second - 1) / time.Second
	return strconv.FormatInt(min(int64(n), maxDelta), 10)
}

// ParseRSeq reads an RSeq, 1 to 2**32-1 (RFC 3262 section 7.1).
func ParseRSeq(value string) (uint32, error) {
	n, ok := number32(Trim(value))
	if !ok || n == 0 {
		return 0, fmt.Errorf("%w: %q is no number from 1 to 2**32-1", errRSeq, Phrase(value))
	}
	return n, nil
}

// FormatRSeq writes an RSeq.
func FormatRSeq(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// RAck identifies the acknowledged provisional response by its number and its request
// (RFC 3262 section 7.2).
type RAck struct {
	RSeq   uint32
	CSeq   uint32
	Method string
}

// ParseRAck reads an RAck.
func ParseRAck(value string) (r RAck, err error) {
	fields := strings.FieldsFunc(value, func(c rune) bool { return c < 0x80 && isSpace(byte(c)) })
	if len(fields) != 3 {
		return RAck{}, fmt.Errorf("%w: %q is not two numbers and a method", errRAck, Phrase(value))
	}
	if r.RSeq, err = ParseRSeq(fields[0]); err != nil {
		return RAck{}, fmt.Errorf("%w: %w", errRAck, err)
	}
	n, ok := Decimal(fields[1], maxCSeq)
	switch {
	case !ok:
		return RAck{}, fmt.Errorf("%w: %q is no number below 2**31", errRAck, Phrase(fields[1]))
	case !IsToken(fields[2]):
		return RAck{}, fmt.Errorf("%w: %q is no method", errRAck, Phrase(fields[2]))
	}
	r.CSeq, r.Method = uint32(n), fields[2]
	return r, nil
}

// String returns the header's value.
func (r RAck) String() string {
	return FormatRSeq(r.RSeq) + " " + strconv.FormatUint(uint64(r.CSeq), 10) + " " + r.Method
}

// number32 reads a number of 32 bits.
func number32(v string) (uint32, bool) {
	if !AllDigits(v) {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 10, 32)
	return uint32(n), err == nil
}
