package b2bua

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/emiago/sipgo/sip"
)

// The ways in which the headers of session timers and reliable provisional
// responses can't be read.
var (
	errSessionExpires = errors.New("not a Session-Expires")
	errMinSE          = errors.New("not a Min-SE")
	errRSeq           = errors.New("not an RSeq")
	errRAck           = errors.New("not an RAck")
)

// maxDelta bounds what is given in seconds. RFC 3261 section 20.19 goes to
// 2**32-1, but nobody means a session of 68 years.
const maxDelta = 1<<31 - 1

// sessionExpires is the value of a Session-Expires (RFC 4028 section 4). How
// short it may be is for Min-SE to say.
type sessionExpires struct {
	interval  time.Duration // whole seconds
	refresher string        // uac, uas, or empty where it is open
}

// parseSessionExpires reads a Session-Expires; parameters that we don't know
// are ignored.
func parseSessionExpires(value string) (s sessionExpires, err error) {
	var params string
	if s.interval, params, err = delta(value, errSessionExpires); err != nil {
		return sessionExpires{}, err
	}
	for params != "" {
		var key, v string
		if key, v, params = cutParam(params); !equalFold(key, "refresher") {
			continue
		}
		switch {
		case s.refresher != "":
			return sessionExpires{}, fmt.Errorf("%w: two refreshers", errSessionExpires)
		case equalFold(v, "uac"), equalFold(v, "uas"):
			s.refresher = strings.ToLower(v)
		default:
			return sessionExpires{}, fmt.Errorf("%w: the refresher %q", errSessionExpires, phrase(v))
		}
	}
	return s, nil
}

// String is the value as it is written.
func (s sessionExpires) String() string {
	if s.refresher == "" {
		return seconds(s.interval)
	}
	return seconds(s.interval) + ";refresher=" + s.refresher
}

// sessionExpiresOf is the Session-Expires of a message, nil where there is
// none. Two of them are an error: they would be read differently.
func sessionExpiresOf(msg sip.Message) (*sessionExpires, error) {
	all := namedHeaders(msg, "session-expires", "x")
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

// parseMinSE reads a Min-SE (RFC 4028 section 5).
func parseMinSE(value string) (time.Duration, error) {
	d, _, err := delta(value, errMinSE)
	return d, err
}

// minSE writes a Min-SE.
func minSE(d time.Duration) string { return seconds(d) }

// delta reads delta-seconds with parameters behind them (RFC 3261 section
// 25.1).
func delta(value string, wrong error) (d time.Duration, params string, err error) {
	number, params, _ := cutByte(value, ';')
	n, ok := decimal(trimmed(number), maxDelta)
	if !ok {
		return 0, "", fmt.Errorf("%w: %q is no number of seconds below 2**31", wrong, phrase(number))
	}
	return time.Duration(n) * time.Second, params, nil
}

// seconds writes delta-seconds: what is no whole number is rounded up.
func seconds(d time.Duration) string {
	n := (max(d, 0) + time.Second - 1) / time.Second
	return strconv.FormatInt(min(int64(n), maxDelta), 10)
}

// parseRSeq reads an RSeq, 1 to 2**32-1 (RFC 3262 section 7.1).
func parseRSeq(value string) (uint32, error) {
	n, ok := number32(trimmed(value))
	if !ok || n == 0 {
		return 0, fmt.Errorf("%w: %q is no number from 1 to 2**32-1", errRSeq, phrase(value))
	}
	return n, nil
}

// rseq writes an RSeq.
func rseq(n uint32) string { return strconv.FormatUint(uint64(n), 10) }

// rack is what an RAck acknowledges: the provisional response of this number
// to this request (RFC 3262 section 7.2).
type rack struct {
	rseq   uint32
	cseq   uint32
	method string
}

// parseRAck reads an RAck.
func parseRAck(value string) (r rack, err error) {
	fields := strings.FieldsFunc(value, func(c rune) bool { return c < 0x80 && isSpace(byte(c)) })
	if len(fields) != 3 {
		return rack{}, fmt.Errorf("%w: %q is not two numbers and a method", errRAck, phrase(value))
	}
	if r.rseq, err = parseRSeq(fields[0]); err != nil {
		return rack{}, fmt.Errorf("%w: %w", errRAck, err)
	}
	n, ok := decimal(fields[1], maxCSeq)
	switch {
	case !ok:
		return rack{}, fmt.Errorf("%w: %q is no number below 2**31", errRAck, phrase(fields[1]))
	case !isToken(fields[2]):
		return rack{}, fmt.Errorf("%w: %q is no method", errRAck, phrase(fields[2]))
	}
	r.cseq, r.method = uint32(n), fields[2]
	return r, nil
}

// String is the value as it is written.
func (r rack) String() string {
	return rseq(r.rseq) + " " + strconv.FormatUint(uint64(r.cseq), 10) + " " + r.method
}

// number32 is the number that v is, if it is one of 32 bits.
func number32(v string) (uint32, bool) {
	if !allDigits(v) {
		return 0, false
	}
	n, err := strconv.ParseUint(v, 10, 32)
	return uint32(n), err == nil
}

// hasOption says whether an option tag is among those of a header: Supported
// (also as k), Require, Proxy-Require or Unsupported (RFC 3261 section 20.37).
func hasOption(msg sip.Message, header, tag string) bool {
	compact := header
	if strings.EqualFold(header, "supported") {
		compact = "k"
	}
	return slices.ContainsFunc(tokens(msg, header, compact), func(v string) bool { return strings.EqualFold(v, tag) })
}

// allows says whether a message names a method in Allow (RFC 3261 section
// 20.5). Where there is no Allow nothing is known, and the answer is no.
// Methods are compared with their case (section 7.1).
func allows(msg sip.Message, method string) bool {
	return slices.Contains(tokens(msg, "allow", "allow"), method)
}

// tokens are the tokens of all headers of a name or its compact form. They
// have no quotes, so each comma divides.
func tokens(msg sip.Message, name, compact string) (all []string) {
	for _, list := range namedHeaders(msg, name, compact) {
		for v := range strings.SplitSeq(list, ",") {
			if v = trimmed(v); isToken(v) {
				all = append(all, v)
			}
		}
	}
	return all
}

// namedHeaders are the values of all headers of a name or its compact form.
func namedHeaders(msg sip.Message, name, compact string) (all []string) {
	headers := msg.GetHeaders(name)
	if !strings.EqualFold(name, compact) {
		headers = append(headers, msg.GetHeaders(compact)...)
	}
	for _, h := range headers {
		all = append(all, h.Value())
	}
	return all
}
