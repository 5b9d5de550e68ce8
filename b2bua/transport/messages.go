package transport

import "sync/atomic"

// Messages counts SIP messages: received messages that the screen admitted, and all sent messages, including
// retransmissions. Counting a message takes a few nanoseconds and allocates nothing.
type Messages struct{ received, sent flow }

// flow counts the messages of one direction.
type flow struct {
	requests  [methods]atomic.Uint64
	responses [600]atomic.Uint64 // indexed by status minus 100
}

// methods is the number of counters for requests. A method's counter has the same index as its name in
// methodNames.
const methods = 14

func methodNames() [methods]string {
	return [methods]string{
		"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "UPDATE", "PRACK", "INFO", "REFER", "NOTIFY",
		"MESSAGE", "SUBSCRIBE", "REGISTER", "other",
	}
}

func methodIndex(method []byte) int {
	switch string(method) {
	case "INVITE":
		return 0
	case "ACK":
		return 1
	case "BYE":
		return 2
	case "CANCEL":
		return 3
	case "OPTIONS":
		return 4
	case "UPDATE":
		return 5
	case "PRACK":
		return 6
	case "INFO":
		return 7
	case "REFER":
		return 8
	case "NOTIFY":
		return 9
	case "MESSAGE":
		return 10
	case "SUBSCRIBE":
		return 11
	case "REGISTER":
		return 12
	default:
		return methods - 1
	}
}

// note counts a message by its first line.
func (f *flow) note(text []byte) {
	const version = "SIP/2.0 "
	if len(text) > len(version)+3 && string(text[:len(version)]) == version {
		status := 0
		for _, c := range text[len(version) : len(version)+3] {
			status = status*10 + int(c-'0')
		}
		if i := status - 100; i >= 0 && i < len(f.responses) {
			f.responses[i].Add(1)
		}
		return
	}
	for i, c := range text[:min(len(text), len("SUBSCRIBE")+1)] {
		if c == ' ' {
			f.requests[methodIndex(text[:i])].Add(1)
			return
		}
	}
	f.requests[methods-1].Add(1)
}

// Each calls f for each counter that is not 0. method is set for requests, and status for responses.
func (m *Messages) Each(f func(received bool, method string, status int, n uint64)) {
	for i, one := range []*flow{&m.received, &m.sent} {
		for k, name := range methodNames() {
			if n := one.requests[k].Load(); n > 0 {
				f(i == 0, name, 0, n)
			}
		}
		for k := range one.responses {
			if n := one.responses[k].Load(); n > 0 {
				f(i == 0, "", 100+k, n)
			}
		}
	}
}
