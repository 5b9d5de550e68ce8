// Package rtp defines the RTP that the loads send: packets of 20 ms of G.711 that contain their call, number and time.
package rtp

import (
	"encoding/binary"
	"time"

	"golang.org/x/sys/unix"

	"flowbridge/scripts/internal/batch"
)

const (
	// Size is the length of a packet, in bytes.
	Size = 172
	// Room is longer than a packet, so that longer packets can be distinguished from ours.
	Room = Size + 4
	// Interval is the time between two packets of a call.
	Interval = 20 * time.Millisecond

	magic = 0x466c6f77626e6368
)

// The layout of a packet's payload.
const (
	atMagic  = 12
	atCall   = atMagic + 8
	atNumber = atCall + 4
	atTime   = atNumber + 4 // wall clock, nanoseconds
)

// Write writes a packet of a call's side, 0 or 1.
func Write(p []byte, call uint32, side int, number uint32, now int64) {
	p[0], p[1] = 2<<6, 0 // RFC 3550 section 5.1: version 2, payload type 0
	binary.BigEndian.PutUint16(p[2:], uint16(number))
	binary.BigEndian.PutUint32(p[4:], number*160)
	binary.BigEndian.PutUint32(p[8:], 2*call+uint32(side)+1) // SSRC
	binary.BigEndian.PutUint64(p[atMagic:], magic)
	binary.BigEndian.PutUint32(p[atCall:], call)
	binary.BigEndian.PutUint32(p[atNumber:], number)
	binary.BigEndian.PutUint64(p[atTime:], uint64(now))
}

// Read returns the call, number and time of packet p. ok is false if it is not ours.
func Read(p []byte) (call, number uint32, written int64, ok bool) {
	if len(p) != Size || binary.BigEndian.Uint64(p[atMagic:]) != magic {
		return 0, 0, 0, false
	}
	call, number = binary.BigEndian.Uint32(p[atCall:]), binary.BigEndian.Uint32(p[atNumber:])
	return call, number, int64(binary.BigEndian.Uint64(p[atTime:])), true
}

// Pace schedules ticks one after the other.
type Pace struct {
	tick  time.Duration
	begin int64 // monotonic clock, nanoseconds
}

// NewPace returns a pace that starts now.
func NewPace(tick time.Duration) *Pace { return &Pace{tick, batch.Clock(unix.CLOCK_MONOTONIC)} }

// Wait waits for tick n, and returns how late it is. If it is late by more than an interval, the following ticks are
// delayed, too, so that calls never send faster than in production.
func (p *Pace) Wait(n int64) (late time.Duration) {
	due := p.begin + n*int64(p.tick)
	late = time.Duration(batch.Clock(unix.CLOCK_MONOTONIC) - due)
	if late < 0 {
		batch.SleepUntil(due)
	}
	if late > Interval {
		p.begin += int64(late)
	}
	return late
}
