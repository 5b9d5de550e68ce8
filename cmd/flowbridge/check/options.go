package check

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/google/uuid"

	"flowbridge/cmd/flowbridge/cli"
)

var errNotSIP = errors.New("not SIP")

// askOptions sends OPTIONS and returns the status line of the final answer. Over UDP it repeats the request (RFC 3261
// section 17.1.2.2).
func askOptions(ctx context.Context, conn net.Conn, transport, uri string) (string, error) {
	id := uuid.NewString()
	request := optionsRequest(conn, transport, uri, id)
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return "", err
		}
	}
	if _, err := conn.Write([]byte(request)); err != nil {
		return "", err
	}
	if transport == "udp" {
		return awaitDatagram(ctx, conn, request, id)
	}
	return awaitStream(conn, id)
}

func optionsRequest(conn net.Conn, transport, uri, id string) string {
	via := strings.ToUpper(transport)
	local := conn.LocalAddr().String()
	return "OPTIONS " + uri + " SIP/2.0\r\n" +
		"Via: SIP/2.0/" + via + " " + local + ";branch=z9hG4bK" + strings.ReplaceAll(id, "-", "") + ";rport\r\n" +
		"Max-Forwards: 70\r\n" +
		"From: <sip:flowbridge@" + local + ">;tag=" + id[:8] + "\r\n" +
		"To: <" + uri + ">\r\n" +
		"Call-ID: " + id + "\r\n" +
		"CSeq: 1 OPTIONS\r\n" +
		"Contact: <sip:flowbridge@" + local + ";transport=" + transport + ">\r\n" +
		"Accept: application/sdp\r\n" +
		"User-Agent: Flowbridge\r\n" +
		"Content-Length: 0\r\n\r\n"
}

// The first and the longest pause before a request is repeated over UDP.
const (
	timerT1 = 500 * time.Millisecond
	timerT2 = 4 * time.Second
)

func awaitDatagram(ctx context.Context, conn net.Conn, request, id string) (string, error) {
	b := make([]byte, 64<<10)
	end, _ := ctx.Deadline()
	pause, next := timerT1, time.Now().Add(timerT1)
	for {
		wait := next
		if !end.IsZero() && end.Before(wait) {
			wait = end
		}
		if err := conn.SetReadDeadline(wait); err != nil {
			return "", err
		}
		n, err := conn.Read(b)
		switch {
		case err == nil:
			if status, final := finalStatus(string(b[:n]), id); final {
				return status, nil
			}
		case isTimeout(err) && ctx.Err() == nil && time.Now().Before(end):
			pause = min(2*pause, timerT2)
			next = time.Now().Add(pause)
			if _, err := conn.Write([]byte(request)); err != nil {
				return "", err
			}
		default:
			return "", err
		}
	}
}

const (
	maxAnswerLine = 16 << 10 // bytes in a line of an answer
	maxAnswers    = 64 << 10 // bytes of all answers together, keep-alives included
)

// awaitStream reads lines up to the end of a final answer. If a line is too long, or there are too many, the peer
// does not speak SIP.
func awaitStream(conn io.Reader, id string) (string, error) {
	r := bufio.NewReaderSize(conn, maxAnswerLine)
	var message strings.Builder
	for read := 0; read <= maxAnswers; {
		line, err := r.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			return "", fmt.Errorf("%w: a line of more than %d bytes", errNotSIP, maxAnswerLine)
		case err != nil:
			return "", err
		}
		read += len(line)
		blank := len(bytes.TrimSpace(line)) == 0
		if message.Len() == 0 {
			if blank {
				continue // a keep-alive (RFC 3261 section 7.5)
			}
			if !bytes.HasPrefix(line, []byte("SIP/2.0 ")) {
				return "", fmt.Errorf("%w: %.40q", errNotSIP, line)
			}
		}
		message.Write(line)
		if blank {
			if status, final := finalStatus(message.String(), id); final {
				return status, nil
			}
			message.Reset() // provisional answers to OPTIONS have no body
		}
	}
	return "", fmt.Errorf("%w: no final answer within %d bytes", errNotSIP, maxAnswers)
}

// finalStatus returns the status line, without the version, of the final answer to this request.
func finalStatus(message, id string) (status string, final bool) {
	line, headers, _ := strings.Cut(message, "\r\n")
	status, ok := strings.CutPrefix(line, "SIP/2.0 ")
	if !ok || strings.HasPrefix(status, "1") || !strings.Contains(headers, id) {
		return "", false
	}
	status = cli.ASCII(status)
	return status[:min(len(status), 80)], true
}
