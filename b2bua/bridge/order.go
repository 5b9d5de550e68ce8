package bridge

import (
	"errors"
	"strconv"

	"flowbridge/b2bua/outbound"
)

// OrderError is the reason why a call can't carry out a command.
type OrderError struct {
	Problem string
	Remedy  string
	// Code is an HTTP status: 403 if the command is not permitted, 400 if it is malformed, 404 if its destination does not
	// exist, 409 if the call stopped it halfway. It is 0 if the call is not in a state for the command.
	Code int
}

func (e *OrderError) Error() string { return e.Problem + "; " + e.Remedy }

// Order is a command that an operator or a tool gives to a live call.
type Order string

// The commands.
const (
	OrderRecord Order = "start"  // start a recording
	OrderStop   Order = "stop"   // stop the recording
	OrderPause  Order = "pause"  // pause the recording
	OrderResume Order = "resume" // resume the recording
	OrderMask   Order = "mask"   // hide the caller's keys from now on
	OrderUnmask Order = "unmask"
	OrderHold   Order = "hold" // keep the caller and the agent from hearing each other
	OrderUnhold Order = "unhold"
	// OrderHangup ends the call. It may be repeated, and does nothing to a call that is over. It is the only command that
	// the bridge does not handle.
	OrderHangup Order = "hangup"
)

// TransferRequest is a command to transfer a call.
type TransferRequest struct {
	outbound.Order
	Announce Announce
	By       string   // who asked for the transfer, for the record and the log
	Of       []string // only calls of these targets may be transferred; empty means all
}

// NotAnswered returns the error for a command that needs an answered call.
func NotAnswered() *OrderError {
	return refused("the call is not answered yet", "ask again when its phase is bridged")
}

// NoAgent returns the error for a command that needs an agent, if there is no agent or a transfer is in progress.
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
