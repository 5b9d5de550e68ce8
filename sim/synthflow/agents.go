package synthflow

import (
	"maps"

	"flowbridge/sim/internal/standin"
)

// agentShape is the body of POST /v2/assistants, as the API reference
// (create-assistant) has it, with voice_engine_version of the setup guides.
func agentShape() *standin.Shape {
	s := agentChangeShape()
	s.Fields["type"] = standin.IsOneOf(agentInbound, agentOutbound, "widget")
	s.Required = []string{"type", "name", "agent"}
	return s
}

// agentChangeShape is the body of PUT /v2/assistants/{model_id}. The members of agent change often, and are not
// checked.
func agentChangeShape() *standin.Shape {
	return shape(fields{
		"external_webhook_url": isURLOrEmpty, "inbound_call_webhook_url": isURLOrEmpty,
		"is_recording": standin.IsBool, "end_call_reasons": standin.IsStrings,
	}.With(standin.IsString, "name", "description", "phone_number", "voice_engine_version").
		With(standin.IsObject, "agent", "max_duration", "voicemail_message"))
}

func isURLOrEmpty(v any) string {
	if v == "" {
		return ""
	}
	return standin.IsURL(v)
}

func (p *Platform) createAgent(r request) (any, *standin.Refusal) {
	if p.account.opts.VoiceEngine == VoiceEngineRequire && !r.Sent.Has("voice_engine_version") {
		return nil, badRequest(`field "voice_engine_version" is required: "2.0"`)
	}
	g := newAgent(p.account.newModelID(), r.Sent.Text("type"), "", "")
	answer, refusal := p.changeAgent(r, g)
	if refusal == nil {
		p.account.agents.Put(g.id, g)
		p.opts.Log.Info().Str("model_id", g.id).Str("number", g.number()).Msg("agent created")
	}
	return answer, refusal
}

// changeAgent sets the fields of the body, and within agent each member by itself. A
// refusal changes nothing.
func (p *Platform) changeAgent(r request, g *accountAgent) (any, *standin.Refusal) {
	if r.Sent.Has("voice_engine_version") && p.account.opts.VoiceEngine == VoiceEngineRefuse {
		return nil, badRequest(`field "voice_engine_version" is not allowed`)
	}
	if refusal := p.account.canBind(g, r.Sent.Text("phone_number")); refusal != nil {
		return nil, refusal
	}
	agent := maps.Clone(g.fields.Object("agent"))
	maps.Copy(agent, r.Sent.Object("agent"))
	g.fields = maps.Clone(g.fields)
	maps.Copy(g.fields, r.Sent)
	g.fields["agent"] = map[string]any(agent)
	out := okAnswer(map[string]any{"model_id": p.told("agent", g.id)})
	out["details"] = map[string]any{"phone": g.number(), "voice": agent.Text("voice_id")}
	return out, nil
}

// canBind refuses a number that is not imported or that another inbound agent has
// (phone numbers page). The caller has the lock.
func (a *account) canBind(g *accountAgent, number string) *standin.Refusal {
	if number == "" {
		return nil
	}
	if a.numbers.Get(bareNumber(number)) == nil {
		return badRequest("phone number %s is not in the account; import it before the agent", number)
	}
	if other := a.inboundAgent(number); g.fields.Text("type") == agentInbound && other != nil && other != g {
		return badRequest("phone number %s is linked to inbound agent %s", number, other.id)
	}
	return nil
}

func (p *Platform) deleteAgent(_ request, g *accountAgent) (any, *standin.Refusal) {
	p.account.agents.Remove(g.id)
	return okAnswer(map[string]any{"answer": "agent deleted"}), nil
}

// shown is an agent in a list.
func (p *Platform) shown(g *accountAgent) map[string]any {
	out := maps.Clone(g.fields)
	out["model_id"] = p.told("agent", g.id)
	return out
}

// getAgent answers with a list of one.
func (p *Platform) getAgent(_ request, g *accountAgent) (any, *standin.Refusal) {
	return okAnswer(map[string]any{"pagination": pagination(1, defaultPage, 0), "assistants": []any{p.shown(g)}}), nil
}

func (p *Platform) listAgents(r request) (any, *standin.Refusal) {
	list := []any{}
	for _, g := range p.account.agents.All() {
		list = append(list, p.shown(g))
	}
	return page(r, "assistants", list)
}
