package node

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"flowbridge/b2bua"
	"flowbridge/b2bua/bridge"
	"flowbridge/b2bua/outbound"
	"flowbridge/config"
	"flowbridge/media"
	"flowbridge/platform/hooks"
)

// commandsEndpoints take the commands of agents.
func (h *callHooks) commandsEndpoints(cfg *config.Hooks) []hooks.Endpoint {
	if len(cfg.Commands) == 0 {
		return nil
	}
	commands := &hooks.Commands{Do: h.command, Log: h.log}
	for _, t := range cfg.Commands {
		commands.Tokens = append(commands.Tokens, &hooks.Token{
			Name: t.Name, Secret: t.Token.Reveal(), Targets: t.Targets, PerHour: t.PerHour,
		})
	}
	return []hooks.Endpoint{{Name: "commands", Path: config.CommandsPath, Handler: commands}}
}

// command carries out what an agent asks for, in a call at a target of its token.
func (h *callHooks) command(ctx context.Context, by *hooks.Token, c hooks.Command) (words string, err error) {
	live, err := h.commanded(ctx, by, c)
	if err != nil {
		return "", err
	}
	id := live.Record.ID
	switch c.Do {
	case "transfer":
		if c.To == "" {
			return "", &hooks.RefusalError{Status: http.StatusBadRequest, Words: "Say where to transfer the call to."}
		}
		_, err = h.server.Transfer(ctx, id, b2bua.TransferRequest{
			Order: outbound.Order{To: c.To}, Announce: bridge.Announce{Sound: c.Announce, Accept: c.Accept},
			By: by.Name, Of: by.Targets,
		})
		words = "The call is being transferred."
	case "hold":
		_, err = h.server.Order(ctx, id, b2bua.OrderHold)
		words = "The caller is on hold."
	case "resume":
		_, err = h.server.Order(ctx, id, b2bua.OrderUnhold)
		words = "The caller hears you again."
	case "dtmf":
		_, err = h.server.Press(ctx, id, b2bua.DigitsRequest{Side: media.SideA, Digits: c.Digits})
		words = "The keys are pressed."
	case "hangup":
		_, err = h.server.Order(ctx, id, b2bua.OrderHangup)
		words = "The call has ended."
	case "status":
		return live.Transfer.Words(), nil
	default:
		return "", &hooks.RefusalError{
			Status: http.StatusBadRequest, Words: "I can transfer, hold, resume, dtmf, hangup and status.",
		}
	}
	return words, inWords(err)
}

// commanded finds the call of a command. Of ids that callers may have written, only those count that nobody can guess.
func (h *callHooks) commanded(ctx context.Context, by *hooks.Token, c hooks.Command) (found b2bua.LiveCall, err error) {
	n := 0
	for _, id := range c.IDs {
		live, err := h.server.FindNamed(ctx, id)
		r := &live.Record
		switch {
		case errors.Is(err, b2bua.ErrSeveralCalls) && c.Sure:
			return found, &hooks.RefusalError{Status: http.StatusConflict, Words: "Several calls have this id.", Cause: err}
		case err != nil, !c.Sure && !slices.Contains([]string{r.ID, r.TargetSIPCallID, r.SynthflowCallID}, id),
			n > 0 && r.ID == found.Record.ID:
			continue
		}
		found = live
		n++
	}
	switch {
	case n == 0:
		return found, &hooks.RefusalError{Status: http.StatusNotFound, Words: "I can't find this call."}
	case n > 1:
		return found, &hooks.RefusalError{Status: http.StatusConflict, Words: "Several calls have these ids."}
	case !slices.Contains(by.Targets, found.Record.Target):
		return found, &hooks.RefusalError{Status: http.StatusForbidden, Words: "I may not do this in this call."}
	}
	return found, nil
}

// inWords says why an order is not carried out.
func inWords(err error) error {
	refused := new(b2bua.OrderError)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, b2bua.ErrNoCall):
		return &hooks.RefusalError{Status: http.StatusNotFound, Words: "The call has ended.", Cause: err}
	case !errors.As(err, &refused):
		return err
	}
	words := map[int]string{
		http.StatusForbidden: "The call may not be transferred there.", http.StatusNotFound: "No way leads there.",
		http.StatusBadRequest: "This can't be understood.", 0: "That is not possible now.",
	}[refused.Code]
	if refused.Code == 0 {
		refused.Code = http.StatusConflict
	}
	return &hooks.RefusalError{Status: refused.Code, Words: words, Cause: err}
}
