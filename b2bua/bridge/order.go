package bridge

import (
	"errors"
	"strconv"

	"flowbridge/b2bua/outbound"
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

// Refusal turns an *outbound.PlaceError into an *OrderError. It returns any other error unchanged.
func Refusal(err error) error {
	if not, is := errors.AsType[*outbound.PlaceError](err); is {
		return &OrderError{not.Problem, not.Remedy, not.Status}
	}
	return err
}

func refused(problem, remedy string) *OrderError {
	return &OrderError{Problem: problem, Remedy: remedy}
}

func noOrder(what Order) *OrderError {
	return refused("unknown order "+strconv.Quote(string(what)), "flowbridge help api has them")
}
