package synthflow

import (
	"encoding/json"
	"maps"
	"slices"

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

// agentChangeShape is the body of PUT /v2/assistants/{model_id}.
func agentChangeShape() *standin.Shape {
	return shape(fields{
		"name": standin.IsString, "description": standin.IsString, "phone_number": standin.IsString,
		"external_webhook_url": standin.IsString, "inbound_call_webhook_url": standin.IsString,
		"voice_engine_version": standin.IsString, "is_recording": standin.IsBool, "end_call_reasons": standin.IsStrings,
		"agent":        shape(agentFields()).Check,
		"max_duration": shape(fields{"duration_seconds": standin.IsWhole, "is_enabled": standin.IsBool}).Check,
		"voicemail_message": shape(fields{
			"enabled": standin.IsBool, "mode": standin.IsOneOf("exact_message", "prompt"),
			"exact_message": standin.IsString, "prompt": standin.IsString,
		}).Check,
	})
}

// agentFields are the members of the object agent. llm, language, timezone and
// voice_synthesizer take any string: their lists change, and the example of the
// setup guides has an llm that is on no list.
func agentFields() fields {
	return fields{
		"greeting_message_mode": standin.IsOneOf("human", "agent_static", "agent_dynamic"), "patience_level": standin.IsOneOf("low", "medium", "high"),
		"noise_cancellation": standin.IsOneOf("standard", "advanced"), "fallback_provider": standin.IsOneOf("elevenlabs", "deepgram", "synthflow"),
		"min_words_to_interrupt":         standin.IsOneOf("0", "1", "2", "3", "4", "5"),
		"transcriber_provider":           standin.IsOneOf("deepgram", "deepgram-nova-3", "synthflow-stt"),
		"transcriber_speech_recognition": standin.IsOneOf("faster", "high_accuracy"),
		"end_call_reasons_v2":            standin.IsList,
		"background_noise":               shape(fields{"enabled": standin.IsBool, "type": standin.IsOneOf("cafe", "office"), "volume": standin.IsWhole}).Check,
	}.
		With(standin.IsString, "prompt", "greeting_message", "llm", "language", "voice_id", "voice_synthesizer", "voice_prompt", "timezone",
			"global_audio_tags", "reminder_after_idle_message", "fallback_voice_id", "fallback_model", "consent_message").
		With(standin.IsBool, "voice_use_speaker_boost", "realistic_filler_words", "is_transcript_disabled", "redact_pii",
			"send_user_idle_reminders", "is_consent_enabled").
		With(standin.IsWhole, "voice_optimise_streaming_latency", "allowed_idle_time_seconds", "initial_pause_seconds", "ring_pause_seconds",
			"interruption_fade_out", "greeting_message_human_talk_timeout", "reminder_after_idle_time_seconds").
		// The reference calls the first three whole numbers, and gives 0 to 1 as their range.
		With(standin.IsNumber, "voice_stability", "voice_similarity_boost", "voice_style", "suppression_level", "voice_speed", "voice_volume").
		With(standin.IsStrings, "transcriber_keywords", "synthesizer_filter_words", "end_call_reasons")
}

func (p *Platform) createAgent(r request) (any, *standin.Refusal) {
	a := p.account
	switch {
	case r.body.Text("name") == "":
		return nil, badRequest(`field "name" is empty`)
	case a.agents.Len() == maxAgents:
		return nil, badRequest("the account has %d agents, which is the limit", maxAgents)
	case a.opts.VoiceEngine == VoiceEngineRequire && !r.body.Has("voice_engine_version"):
		return nil, badRequest(`field "voice_engine_version" is required: "2.0"`)
	}
	g := &accountAgent{id: a.newModelID(), kind: r.body.Text("type"), fields: standin.Object{}}
	answer, refusal := p.changeAgent(r, g)
	if refusal == nil {
		a.agents.Put(g.id, g)
		p.opts.Log.Info().Str("model_id", g.id).Str("type", g.kind).Str("number", g.number).Msg("agent created")
	}
	return answer, refusal
}

// changeAgent sets the fields of the body, and within agent each member by itself. A
// refusal changes nothing.
func (p *Platform) changeAgent(r request, g *accountAgent) (any, *standin.Refusal) {
	a, body := p.account, r.body
	if body.Has("voice_engine_version") {
		switch v := body.Text("voice_engine_version"); {
		case a.opts.VoiceEngine == VoiceEngineRefuse:
			return nil, badRequest(`field "voice_engine_version" is not allowed`)
		case v != "1.0" && v != "2.0":
			return nil, badRequest(`field "voice_engine_version" must be "1.0" or "2.0"`)
		}
	}
	for _, key := range []string{"external_webhook_url", "inbound_call_webhook_url"} {
		if text := body.Text(key); text != "" && standin.IsURL(text) != "" {
			return nil, badRequest("field %q is not an http(s) URL", key)
		}
	}
	number := g.number
	if body.Has("phone_number") {
		number = body.Text("phone_number")
		if refusal := a.canBind(g, number); refusal != nil {
			return nil, refusal
		}
	}
	merged, agent := maps.Clone(g.fields), map[string]any{}
	maps.Copy(merged, body)
	maps.Copy(agent, g.fields.Object("agent"))
	maps.Copy(agent, body.Object("agent"))
	merged["agent"] = agent
	if text, err := json.Marshal(agent); err != nil || len(text) > maxBody {
		return nil, badRequest("the agent is too large")
	}
	g.fields, g.number = merged, number
	out := okAnswer(map[string]any{"model_id": p.told("agent", g.id)})
	out["details"] = map[string]any{"phone": g.number, "voice": standin.Object(agent).Text("voice_id")}
	return out, nil
}

// canBind refuses a number that is not imported or that another inbound agent has
// (phone numbers page). The caller has the lock.
func (a *account) canBind(g *accountAgent, number string) *standin.Refusal {
	if number == "" {
		return nil
	}
	if a.findNumber(number) == nil {
		return badRequest("phone number %s is not in the account; import it before the agent", number)
	}
	if other := a.inboundAgent(number); g.kind == agentInbound && other != nil && other != g {
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
	out["model_id"], out["phone_number"] = p.told("agent", g.id), g.number
	return out
}

// getAgent answers with a list of one.
func (p *Platform) getAgent(_ request, g *accountAgent) (any, *standin.Refusal) {
	attached := []any{}
	for _, slug := range g.attached {
		attached = append(attached, map[string]any{"number": "+" + slug, "sid": nil, "slug": slug})
	}
	one := p.shown(g)
	one["attached_phone_numbers"], one["actions"], one["input_variables"] = attached, []any{}, []any{}
	return okAnswer(map[string]any{"pagination": pagination(1, defaultPage, 0), "assistants": []any{one}}), nil
}

func (p *Platform) listAgents(r request) (any, *standin.Refusal) {
	list := []any{}
	for _, g := range p.account.agents.All() {
		list = append(list, p.shown(g))
	}
	return page(r, "assistants", list)
}

func attachShape() *standin.Shape {
	return shape(fields{"phone_numbers": standin.IsStrings, "phone_number_slugs": standin.IsStrings})
}

// attachNumbers gives an outbound agent the numbers that it calls from.
func (p *Platform) attachNumbers(r request, g *accountAgent) (any, *standin.Refusal) {
	switch {
	case r.body.Has("phone_numbers") == r.body.Has("phone_number_slugs"):
		return nil, unprocessable(`one of the fields "phone_numbers" and "phone_number_slugs" is needed`)
	case g.kind != agentOutbound:
		return nil, badRequest("agent %s is not outbound; an inbound agent has its phone_number", g.id)
	}
	attached := g.attached
	for _, one := range append(r.body.Texts("phone_numbers"), r.body.Texts("phone_number_slugs")...) {
		n := p.account.findNumber(one)
		if n == nil {
			return nil, noSuch("no phone number %q", one)
		}
		if !slices.Contains(attached, n.slug) {
			attached = append(slices.Clone(attached), n.slug)
		}
	}
	g.attached = attached
	return done()
}

func (p *Platform) detachNumber(r request, g *accountAgent) (any, *standin.Refusal) {
	slug := r.PathValue("slug")
	if !slices.Contains(g.attached, slug) {
		return nil, noSuch("no phone number %q at agent %s", slug, g.id)
	}
	g.detach(slug)
	return done()
}

func (g *accountAgent) detach(slug string) {
	g.attached = slices.DeleteFunc(slices.Clone(g.attached), func(other string) bool { return other == slug })
}
