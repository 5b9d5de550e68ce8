package message

import (
	"fmt"
	"strings"
	"time"
)

// These are the content types of an INFO with a digit. No RFC defines them. They are older than the
// packages of RFC 6086, and Cisco and all other vendors send them.
const (
	dtmfRelayType = "application/dtmf-relay"
	dtmfType      = "application/dtmf"
)

// These are the limits for the duration of a digit in INFO, and its default. Receivers need not
// detect less than 40 ms (ITU-T Q.24), and more than 5 s is a mistake.
const (
	maxDTMFBody     = 256
	shortestDigit   = 40 * time.Millisecond
	longestDigit    = 5 * time.Second
	durationOfDigit = 100 * time.Millisecond
)

// ParseDTMFInfo reads the digit (0 to 9, *, # or A to D) in an INFO. If the duration is missing or
// malformed, it returns the default duration. ok is false for a body with two signals.
func ParseDTMFInfo(contentType string, body []byte) (digit byte, duration time.Duration, ok bool) {
	if len(body) > maxDTMFBody {
		return 0, 0, false
	}
	duration = durationOfDigit
	switch mediaType(contentType) {
	case dtmfType:
		digit, ok = digitOf(Trim(string(body)))
	case dtmfRelayType:
		for line := range strings.Lines(string(body)) {
			key, value, _ := strings.Cut(line, "=")
			switch key, value = Trim(key), Trim(value); {
			case EqualFold(key, "signal"):
				if digit != 0 {
					return 0, 0, false
				}
				if digit, ok = digitOf(value); !ok {
					return 0, 0, false
				}
			case EqualFold(key, "duration") && AllDigits(value):
				duration = millis(value)
			}
		}
	}
	if !ok {
		return 0, 0, false
	}
	return digit, duration, true
}

// digitOf reads a digit that is given as a character, or by its event number (RFC 4733
// section 3.2), which Cisco uses for * and #.
func digitOf(signal string) (digit byte, ok bool) {
	if n, number := Decimal(signal, 15); number && len(signal) == 2 && n >= 10 {
		return "*#ABCD"[n-10], true
	}
	if len(signal) != 1 {
		return 0, false
	}
	return upperDigit(signal[0])
}

// upperDigit reads a digit in either case.
func upperDigit(c byte) (digit byte, ok bool) {
	if c >= 'a' && c <= 'd' {
		c -= 'a' - 'A'
	}
	return c, strings.IndexByte("0123456789*#ABCD", c) >= 0
}

// millis reads a duration in milliseconds and limits it as BoundDigit does.
func millis(digits string) time.Duration {
	n, ok := Decimal(digits, int(longestDigit/time.Millisecond))
	if !ok {
		return longestDigit
	}
	return BoundDigit(time.Duration(n) * time.Millisecond)
}

// BoundDigit returns the duration that INFO gives for a digit of this duration.
func BoundDigit(d time.Duration) time.Duration { return min(max(d, shortestDigit), longestDigit) }

// DTMFInfo returns the body of an INFO with a digit, or nothing if digit is not one.
func DTMFInfo(digit byte, d time.Duration) (contentType string, body []byte) {
	digit, ok := upperDigit(digit)
	if !ok {
		return "", nil
	}
	return dtmfRelayType, fmt.Appendf(nil, "Signal=%c\r\nDuration=%d\r\n", digit, BoundDigit(d).Milliseconds())
}
