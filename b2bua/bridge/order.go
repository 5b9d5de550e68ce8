package bridge

import (
	"cmp"
	"errors"
	"strconv"
	"strings"
	"time"

	"flowbridge/b2bua/message"
	"flowbridge/b2bua/outbound"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/media/audio"
)

// OrderError says why a call can't carry out an order.
type OrderError struct {
	Problem string
	Remedy  string
	// Code is 403 if it is not permitted, 400 if it can't be read, 404 if it leads to nowhere, 409 if it ended before all
	// of it was done, and 0 if it is not the time.
	Code int
}

func (e *OrderError) Error() string { return e.Problem + "; " + e.Remedy }

// Order is an operator's command to a live call.
type Order string

// The orders.
const (
	OrderRecord Order = "start"  // a recording
	OrderStop   Order = "stop"   // the recording
	OrderPause  Order = "pause"  // the recording
	OrderResume Order = "resume" // the recording
	OrderMask   Order = "mask"   // the caller's keys from now on
	OrderUnmask Order = "unmask"
	OrderHold   Order = "hold" // keep the caller and the agent from hearing each other
	OrderUnhold Order = "unhold"
	// OrderHangup ends the call. It may be repeated, and does nothing to a call that is over. It is the only one that is
	// not for the bridge.
	OrderHangup Order = "hangup"
)

// Obey carries out an order.
func (b *Bridge) Obey(what Order) error {
	switch what {
	case OrderRecord:
		return b.Recordings.OrderStart()
	case OrderStop:
		return b.Recordings.OrderStop()
	case OrderPause, OrderResume:
		return b.Recordings.Pause(what == OrderPause)
	case OrderMask, OrderUnmask:
		return b.Masking.Order(what == OrderMask)
	case OrderHold, OrderUnhold:
		return b.Sounds.Hold(what == OrderHold)
	case OrderHangup:
	}
	return refused("unknown order "+strconv.Quote(string(what)), "flowbridge help api has them")
}

// TransferRequest is a transfer that somebody orders.
type TransferRequest struct {
	outbound.Order
	Announce Announce
	By       string   // in the record and the log
	Of       []string // the targets whose calls it may concern; none: any
}

// NotAnswered is the error of an order that needs an answered call.
func NotAnswered() *OrderError {
	return refused("the call is not answered yet", "ask again when its phase is bridged")
}

// NoAgent is the error of an order that needs an agent, while none is there or a transfer is under way.
func (m Moment) NoAgent() *OrderError {
	switch {
	case m.First && m.Transfer:
		return refused("the agent is being called", "ask again when the call's phase is bridged")
	case m.First:
		return refused("no agent is called yet, because it is not known who answered",
			"ask again when the call's phase is bridged")
	case m.Rescue:
		return refused("the agent's leg has died, and another agent is being called", "ask again when it has answered")
	}
	return refused("a transfer is under way already", "ask again when it is over")
}

// Refusal is an *outbound.PlaceError as the error of an order.
func Refusal(err error) error {
	if not, is := errors.AsType[*outbound.PlaceError](err); is {
		return &OrderError{not.Problem, not.Remedy, not.Status}
	}
	return err
}

func refused(problem, remedy string) *OrderError {
	return &OrderError{Problem: problem, Remedy: remedy}
}

func noSound(name string) *OrderError {
	return refused("there is no sound "+strconv.Quote(name),
		"take one of sounds in the configuration, or of "+strings.Join(audio.Tones(), ", "))
}

// PlayRequest is a sound for a side of a live call.
type PlayRequest struct {
	Side  media.Side
	Sound string // of the configuration's sounds, one of audio.Tones, or SoundNone
	Loop  bool   // until SoundNone
}

// SoundNone ends the present sound.
const SoundNone = "none"

// DigitsRequest are keys that are pressed towards a side of a live call.
type DigitsRequest struct {
	Side     media.Side
	Digits   string
	Duration time.Duration // of each; 0: 100 ms
}

// maxOrderedDigits is how many keys one order presses at most: as many may wait in the media.
const maxOrderedDigits = 32

// keys can be pressed.
const keys = "0123456789*#ABCD"

// Press presses keys for an operator: as telephone-events (RFC 4733), or as INFO where the side has none, or is a
// platform that wants INFO. result gets what becomes of them.
func (b *Bridge) Press(d DigitsRequest, result chan<- error) error {
	to := b.Call.Half(d.Side)
	switch {
	case !b.Call.Moment().Answered:
		return NotAnswered()
	case d.Digits == "" || len(d.Digits) > maxOrderedDigits || strings.Trim(d.Digits, keys) != "":
		return &OrderError{"not digits that can be pressed", "send 1 to 32 of 0 to 9, *, # and A to D", 400}
	case d.Side == media.SideB && (to == nil || to != b.Call.Connected()):
		return b.Call.Moment().NoAgent()
	}
	b.Log.Info().Stringer("side", d.Side).Int("digits", len(d.Digits)).Msg("keys are pressed by order")
	number, clock, events := b.Agreement.Events(d.Side)
	if !events || d.Side == b.Platform() && b.Call.Policy().DTMF == config.DTMFInfo {
		length := message.BoundDigit(cmp.Or(d.Duration, 100*time.Millisecond))
		return b.Relays.press(&pressing{to: to, keys: d.Digits, length: length, result: result})
	}
	for i := range len(d.Digits) {
		if err := b.Media.session.SendDigit(d.Side, media.Digit{
			Digit: d.Digits[i], Duration: d.Duration, PayloadType: number, ClockRate: clock,
		}); err != nil {
			return refused(err.Error(), "ask again later")
		}
	}
	result <- nil
	return nil
}
