package hep

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"net"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rs/zerolog"

	"flowbridge/internal/testlog"
)

var at = time.Date(2026, 11, 20, 8, 0, 0, 123_456_789, time.UTC)

// A packet has the bytes that the specification gives, chunk by chunk.
func TestPacket(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    packet
		want string
	}{
		{
			"IPv4 over UDP",
			packet{
				at: at, from: netip.MustParseAddrPort("192.0.2.1:5060"), to: netip.MustParseAddrPort("198.51.100.2:5070"), kind: typeSIP,
				captureID: 2001, correlation: "id", payload: []byte("SIP/2.0"),
			},
			`48455033 0072
			 0000 0001 0007 02
			 0000 0002 0007 11
			 0000 0003 000a c0000201
			 0000 0004 000a c6336402
			 0000 0007 0008 13c4
			 0000 0008 0008 13ce
			 0000 0009 000a 6afffe00
			 0000 000a 000a 0001e240
			 0000 000b 0007 01
			 0000 000c 000a 000007d1
			 0000 0011 0008 6964
			 0000 000f 000d 5349502f322e30`,
		},
		{
			"IPv6 over TCP, without correlation",
			packet{at: at, from: netip.MustParseAddrPort("[2001:db8::1]:5060"), to: netip.MustParseAddrPort("[2001:db8::2]:5061"), stream: true, kind: typeRTCP, captureID: math.MaxUint32, payload: []byte("{}")},
			`48455033 007d
			 0000 0001 0007 0a
			 0000 0002 0007 06
			 0000 0005 0016 20010db8000000000000000000000001
			 0000 0006 0016 20010db8000000000000000000000002
			 0000 0007 0008 13c4
			 0000 0008 0008 13c5
			 0000 0009 000a 6afffe00
			 0000 000a 000a 0001e240
			 0000 000b 0007 05
			 0000 000c 000a ffffffff
			 0000 000f 0008 7b7d`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := strings.Join(strings.Fields(tt.want), "")
			if got := hex.EncodeToString(tt.p.append(nil)); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// read splits a packet into its chunks.
func read(t *testing.T, b []byte) map[uint16][]byte {
	t.Helper()
	if len(b) < 6 || string(b[:4]) != "HEP3" || int(binary.BigEndian.Uint16(b[4:])) != len(b) {
		t.Fatalf("not a packet of %d bytes: %x", len(b), b[:min(len(b), 20)])
	}
	chunks := map[uint16][]byte{}
	for rest := b[6:]; len(rest) > 0; {
		if len(rest) < 6 || binary.BigEndian.Uint16(rest) != 0 {
			t.Fatalf("no chunk: %x", rest)
		}
		kind, size := binary.BigEndian.Uint16(rest[2:]), int(binary.BigEndian.Uint16(rest[4:]))
		if size < 6 || size > len(rest) || chunks[kind] != nil {
			t.Fatalf("chunk %x of %d bytes, with %d left", kind, size, len(rest))
		}
		chunks[kind], rest = append([]byte{}, rest[6:size]...), rest[size:]
	}
	return chunks
}

// FuzzPacket checks that any packet can be read, and fits into a datagram.
func FuzzPacket(f *testing.F) {
	f.Add([]byte("INVITE sip:a@b SIP/2.0\r\n\r\n"), "id", []byte{127, 0, 0, 1}, uint16(5060), false)
	f.Add([]byte{}, strings.Repeat("i", 300), bytes.Repeat([]byte{1}, 16), uint16(0), true)
	f.Add(make([]byte, 70_000), "", []byte{}, uint16(1), true)
	f.Fuzz(func(t *testing.T, payload []byte, correlation string, addr []byte, port uint16, stream bool) {
		a, _ := netip.AddrFromSlice(addr)
		p := packet{at: at, from: netip.AddrPortFrom(a, port), to: netip.MustParseAddrPort("127.0.0.1:1"), stream: stream, kind: typeSIP, captureID: 1, correlation: correlation, payload: payload}
		b := p.append([]byte("before"))[len("before"):]
		chunks := read(t, b)
		if len(b) > 65507 || !bytes.Equal(chunks[chunkPayload], payload[:min(len(payload), maxPayload)]) || string(chunks[chunkCorrelation]) != correlation[:min(len(correlation), maxText)] {
			t.Errorf("%d bytes, payload of %d", len(b), len(chunks[chunkPayload]))
		}
		if (chunks[chunkSource4] == nil) == (chunks[chunkSource6] == nil) {
			t.Error("not one source")
		}
	})
}

func TestAllocationsOfAPacket(t *testing.T) {
	b := make([]byte, 0, 4096)
	p := packet{at: at, from: netip.MustParseAddrPort("[2001:db8::1]:1"), to: netip.MustParseAddrPort("[2001:db8::2]:2"), kind: typeSIP, correlation: "id", payload: make([]byte, 1000)}
	if n := testing.AllocsPerRun(100, func() { b = p.append(b[:0]) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

var message = Message{
	Call: "call-1", At: at, Received: true, Local: netip.MustParseAddrPort("127.0.0.1:5060"), Remote: netip.MustParseAddrPort("127.0.0.2:5070"), Data: []byte("BYE"),
}

// Packets arrive over UDP and over TCP, with the source and destination of the SIP message.
func TestMirror(t *testing.T) {
	udp, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	check := func(b []byte, received bool) {
		t.Helper()
		c := read(t, b)
		from, to := c[chunkSourcePort], c[chunkDestPort]
		if !received {
			from, to = to, from
		}
		if string(c[chunkCorrelation]) != "call-1" || string(c[chunkPayload]) != "BYE" ||
			binary.BigEndian.Uint16(from) != 5070 || binary.BigEndian.Uint16(to) != 5060 {
			t.Errorf("packet %x; want call-1, BYE, ports 5070 and 5060", b)
		}
	}
	for _, network := range []string{"udp", "tcp"} {
		address := udp.LocalAddr().String()
		if network == "tcp" {
			address = tcp.Addr().String()
		}
		m := New(Options{Network: network, Address: address, CaptureID: 1, Log: zerolog.Nop()})
		sent := message
		m.SIP(sent)
		sent.Received = false
		m.SIP(sent)
		var stream io.Reader
		if network == "tcp" {
			conn, err := tcp.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			stream = conn
		}
		for _, received := range []bool{true, false} {
			b := make([]byte, 65536)
			if stream == nil {
				n, err := udp.Read(b)
				if err != nil {
					t.Fatal(err)
				}
				check(b[:n], received)
				continue
			}
			if _, err := io.ReadFull(stream, b[:6]); err != nil {
				t.Fatal(err)
			}
			size := int(binary.BigEndian.Uint16(b[4:]))
			if _, err := io.ReadFull(stream, b[6:size]); err != nil {
				t.Fatal(err)
			}
			check(b[:size], received)
		}
		_ = m.Close()
		if m.Sent() != 2 || m.Dropped() != 0 {
			t.Errorf("%d sent, %d dropped", m.Sent(), m.Dropped())
		}
		m.SIP(message)
		if m.Dropped() != 1 {
			t.Errorf("after Close: %d dropped", m.Dropped())
		}
	}
}

// conn is a fake connection to the receiver of HEP. Each Write calls write.
type conn struct {
	net.Conn
	write func([]byte) (int, error)
}

func (c conn) Write(b []byte) (int, error)      { return c.write(b) }
func (c conn) SetWriteDeadline(time.Time) error { return nil }
func (c conn) Close() error                     { return nil }

// If the server is away, packets are lost, but no call is delayed. When the server is back, it gets packets again.
func TestServerAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log testlog.Log
		var away atomic.Bool
		var dials, got atomic.Int32
		away.Store(true)
		m := New(Options{Network: "tcp", Address: "homer:9060", Log: zerolog.New(&log), dial: func(context.Context, string, string) (net.Conn, error) {
			if dials.Add(1); away.Load() {
				return nil, errors.New("connection refused")
			}
			return conn{write: func(b []byte) (int, error) {
				if away.Load() {
					return 0, errors.New("reset")
				}
				got.Add(1)
				return len(b), nil
			}}, nil
		}})
		for range 120 {
			m.SIP(message)
			time.Sleep(time.Second)
		}
		if dials.Load() < 20 || dials.Load() > 25 || m.Dropped() != 120 {
			t.Errorf("%d dials, %d dropped", dials.Load(), m.Dropped())
		}
		if n := strings.Count(log.String(), "does not take packets"); n < 2 || n > 3 {
			t.Errorf("%d lines: %s", n, &log)
		}
		away.Store(false)
		for range 10 {
			m.SIP(message)
			time.Sleep(time.Second)
		}
		if n := int(got.Load()); n < 5 || n+int(m.Dropped()) != 130 || int(m.Sent()) != n {
			t.Errorf("%d came, %d sent, %d dropped", got.Load(), m.Sent(), m.Dropped())
		}
		away.Store(true)
		m.SIP(message)
		_ = m.Close()
	})
}

// If the server does not read, the queue fills, and further packets are dropped.
func TestServerSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		m := New(Options{Network: "tcp", Address: "homer:9060", Log: zerolog.Nop(), dial: func(context.Context, string, string) (net.Conn, error) {
			return conn{write: func(b []byte) (int, error) { <-release; return len(b), nil }}, nil
		}})
		begun := time.Now()
		for range 2 * maxWaiting {
			m.SIP(message)
		}
		if time.Since(begun) != 0 || m.Dropped() < maxWaiting-1 {
			t.Errorf("took %s, %d dropped", time.Since(begun), m.Dropped())
		}
		close(release)
		_ = m.Close()
		if m.Sent()+m.Dropped() != 2*maxWaiting {
			t.Errorf("%d sent, %d dropped", m.Sent(), m.Dropped())
		}
	})
}

// Close does not wait for a server that does not answer.
func TestCloseWhileConnecting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Options{Network: "tcp", Address: "homer:9060", Log: zerolog.Nop(), dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}})
		m.SIP(message)
		synctest.Wait()
		began := time.Now()
		_ = m.Close()
		if took := time.Since(began); took > closeAfter || m.Dropped() != 1 {
			t.Errorf("it took %v, %d dropped", took, m.Dropped())
		}
	})
}

// The server's name is resolved again from time to time.
func TestFreshAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dials := 0
		m := New(Options{Network: "udp", Address: "homer:9060", Log: zerolog.Nop(), dial: func(context.Context, string, string) (net.Conn, error) {
			dials++
			return conn{write: func(b []byte) (int, error) { return len(b), nil }}, nil
		}})
		for range 20 {
			m.SIP(message)
			time.Sleep(time.Minute)
		}
		_ = m.Close()
		if dials < 3 || dials > 5 || m.Sent() != 20 {
			t.Errorf("%d dials, %d sent", dials, m.Sent())
		}
	})
}

func TestReport(t *testing.T) {
	var got []byte
	m := New(Options{Network: "udp", Address: "homer:9060", Log: zerolog.Nop(), dial: func(context.Context, string, string) (net.Conn, error) {
		return conn{write: func(b []byte) (int, error) { got = bytes.Clone(b); return len(b), nil }}, nil
	}})
	m.Report(Report{
		Call: "call-1", At: at, From: netip.MustParseAddrPort("127.0.0.1:10000"), To: netip.MustParseAddrPort("127.0.0.2:20000"), SSRC: 0xa1,
		Packets: 900, Lost: 100, Loss: 0.1, JitterMS: 2.5, RTTMS: math.Inf(1), MOS: 3.9,
	})
	_ = m.Close()
	c := read(t, got)
	const want = `{"type":201,"ssrc":0,"report_count":1,"report_blocks":[{"source_ssrc":161,"fraction_lost":25,"packets_lost":100,"highest_seq_no":1000,"ia_jitter":20,"lsr":0,"dlsr":0}],"mos":3.9}`
	if diff := cmp.Diff(want, string(c[chunkPayload])); diff != "" {
		t.Error(diff)
	}
	if c[chunkType][0] != typeRTCP || binary.BigEndian.Uint16(c[chunkSourcePort]) != 10001 || binary.BigEndian.Uint16(c[chunkDestPort]) != 20001 || string(c[chunkCorrelation]) != "call-1" {
		t.Errorf("packet %x; want RTCP of call-1 from port 10001 to 20001", got)
	}
}

// BenchmarkSIP measures what a message costs the goroutine that sends or receives it.
func BenchmarkSIP(b *testing.B) {
	m := New(Options{Network: "udp", Address: "homer:9060", Log: zerolog.Nop(), dial: func(context.Context, string, string) (net.Conn, error) {
		return conn{write: func(b []byte) (int, error) { return len(b), nil }}, nil
	}})
	msg := message
	msg.Data = bytes.Repeat([]byte("x"), 900)
	b.ReportAllocs()
	for b.Loop() {
		m.SIP(msg)
	}
	_ = m.Close()
}
