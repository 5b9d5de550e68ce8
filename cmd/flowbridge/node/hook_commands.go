package node

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/outbound"
	"flowbridge/b2bua/redirected"
	"flowbridge/b2bua/registry"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/platform/hooks"
)

// tokensOfTools returns the tokens of a configuration. Unchanged tokens keep their counts.
func tokensOfTools(cfg []config.CommandsHook, before []*hooks.Token) (all []*hooks.Token) {
	for _, t := range cfg {
		next := &hooks.Token{Name: t.Name, Secret: t.Token.Reveal(), Targets: t.Targets, PerHour: t.PerHour}
		for _, is := range before {
			if is.Name == next.Name && is.Secret == next.Secret && is.PerHour == next.PerHour &&
				slices.Equal(is.Targets, next.Targets) {
				next = is
			}
		}
		all = append(all, next)
	}
	return all
}

// command carries out an agent's command in a call that is at a target of its token.
func (h *callHooks) command(ctx context.Context, by *hooks.Token, c hooks.Command) (words string, err error) {
	live, err := h.commanded(ctx, c)
	id := live.Record.ID
	switch {
	case err != nil:
		return "", err
	case !slices.Contains(by.Targets, live.At) && (c.Do != "status" || !slices.Contains(by.Targets, live.Record.Target)):
		return "", &hooks.RefusalError{Status: http.StatusForbidden, Words: "I may not do this in this call."}
	}
	switch c.Do {
	case "transfer":
		words = "The call is being transferred."
		_, err = h.server.Transfer(ctx, id, bridge.TransferRequest{
			Order:    outbound.Order{To: string(c.To)},
			Announce: bridge.Announce{Sound: string(c.Announce), Accept: string(c.Accept)},
			By:       by.Name, Of: by.Targets,
		})
	case "hold":
		words = "The caller is on hold."
		_, err = h.server.Order(ctx, id, bridge.OrderHold)
	case "resume":
		words = "The caller hears you again."
		_, err = h.server.Order(ctx, id, bridge.OrderUnhold)
	case "dtmf":
		words = "The keys are pressed."
		_, err = h.server.Press(ctx, id, bridge.DigitsRequest{Side: media.SideA, Digits: string(c.Digits)})
	case "hangup":
		words = "The call has ended."
		_, err = h.server.Order(ctx, id, bridge.OrderHangup)
	case "status":
		words = live.Transfer.Words()
	default:
		words, err = "", &hooks.RefusalError{
			Status: http.StatusBadRequest, Words: "I can transfer, hold, resume, dtmf, hangup and status.",
		}
	}
	if err != nil {
		return "", inWords(err)
	}
	return words, nil
}

// commanded finds the call of a command. An id that callers may have written counts only if it can't be guessed. If the
// platform says which call it is, the model's argument is ignored, because a caller could talk the model into naming
// another call.
func (h *callHooks) commanded(ctx context.Context, c hooks.Command) (found registry.LiveCall, err error) {
	for _, id := range c.IDs {
		live, err := h.find(ctx, id)
		counts := err == nil && (c.Sure || live.Given(id))
		switch {
		case errors.Is(err, redirected.ErrSeveralCalls) && c.Sure,
			counts && found.Record.ID != "" && found.Record.ID != live.Record.ID:
			return found, &hooks.RefusalError{Status: http.StatusConflict, Words: "Several calls have this id."}
		case counts:
			found = live
		}
	}
	if c.Argument != "" && !slices.Contains(c.IDs, c.Argument) {
		if live, err := h.find(ctx, c.Argument); err != nil || live.Record.ID != found.Record.ID {
			return found, &hooks.RefusalError{
				Status: http.StatusForbidden, Words: "I may not do this in another call.",
				Cause: "the argument call names another call than the platform does",
			}
		}
	}
	if found.Record.ID == "" {
		return found, &hooks.RefusalError{Status: http.StatusNotFound, Words: "I can't find this call."}
	}
	return found, nil
}

// inWords returns the error that tells the agent why an order was not carried out.
func inWords(err error) error {
	refused := new(bridge.OrderError)
	switch {
	case errors.Is(err, b2bua.ErrNoCall):
		refused.Code = http.StatusGone
	case !errors.As(err, &refused):
		return err
	}
	words := map[int]string{
		http.StatusBadRequest: "That is not understood.",
		http.StatusGone:       "The call has ended.",
		http.StatusForbidden:  "The call may not be transferred there.", http.StatusNotFound: "No way leads there.",
		http.StatusConflict: refused.Problem + ".", // says how much of the order was carried out
	}[refused.Code]
	return &hooks.RefusalError{
		Status: cmp.Or(refused.Code, http.StatusConflict), Words: cmp.Or(words, "That is not possible now."),
		Cause: err.Error(),
	}
}
