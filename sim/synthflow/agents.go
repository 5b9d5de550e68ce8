package synthflow

import (
	"maps"

	"github.com/google/uuid"

	"flowbridge/sim/internal/standin"
)

// agentShape returns the shape of the body of POST /v2/assistants. It has only the required members of the API
// reference (create-assistant). The others change often, and are kept as they are.
func agentShape() *standin.Shape {
	s := shape("type", "name")
	s.Fields["type"] = standin.IsOneOf(agentInbound, "outbound", "widget")
	s.Fields["agent"] = standin.IsObject
	s.Required = append(s.Required, "agent")
	return s
}

func (p *Platform) createAgent(r request) (any, *standin.Refusal) {
	return p.changeAgent(r, standin.Object{"model_id": uuid.NewString(), "type": r.Sent["type"]})
}

// changeAgent sets the members of the body; the members of agent are set one by one. After a refusal nothing has
// changed.
func (p *Platform) changeAgent(r request, g standin.Object) (any, *standin.Refusal) {
	if r.Sent.Has("voice_engine_version") && p.account.opts.RefusesVoiceEngine {
		return nil, badRequest(`field "voice_engine_version" is not allowed`)
	}
	if refusal := p.account.canBind(g, r.Sent.Text("phone_number")); refusal != nil {
		return nil, refusal
	}
	id, next, agent := g.Text("model_id"), maps.Clone(g), map[string]any{}
	maps.Copy(agent, g.Object("agent"))
	maps.Copy(agent, r.Sent.Object("agent"))
	maps.Copy(next, r.Sent)
	next["agent"] = agent
	p.account.agents.Put(id, next)
	p.opts.Log.Info().Str("model_id", id).Str("number", next.Text("phone_number")).Msg("agent changed")
	return okAnswer(map[string]any{"model_id": p.told("agent", id)}), nil
}

// canBind refuses a number that was not imported, or is bound to another inbound agent (page on phone numbers). The
// caller must hold the lock.
func (a *account) canBind(g standin.Object, number string) *standin.Refusal {
	if number == "" {
		return nil
	}
	if a.numbers.Get(slugOf(number)) == nil {
		return badRequest("phone number %s is not in the account; import it before the agent", number)
	}
	other := a.inboundAgent(number).Text("model_id")
	if g.Text("type") == agentInbound && other != "" && other != g.Text("model_id") {
		return badRequest("phone number %s is linked to inbound agent %s", number, other)
	}
	return nil
}

func (p *Platform) deleteAgent(_ request, g standin.Object) (any, *standin.Refusal) {
	p.account.agents.Remove(g.Text("model_id"))
	return okAnswer(map[string]any{"answer": "agent deleted"}), nil
}

// shown returns an agent in the form of a list.
func (p *Platform) shown(g standin.Object) map[string]any {
	out := maps.Clone(g)
	out["model_id"] = p.told("agent", g.Text("model_id"))
	return out
}

// getAgent answers with a list of one.
func (p *Platform) getAgent(_ request, g standin.Object) (any, *standin.Refusal) {
	return okAnswer(map[string]any{"pagination": pagination(1, defaultPage, 0), "assistants": []any{p.shown(g)}}), nil
}

func (p *Platform) listAgents(r request) (any, *standin.Refusal) {
	list := []any{}
	for _, g := range p.account.agents.All() {
		list = append(list, p.shown(g))
	}
	return page(r, "assistants", list)
}
