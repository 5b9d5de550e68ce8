package sim

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
)

// agentShape is the body of POST /v2/assistants, as the API reference
// (create-assistant) has it, with voice_engine_version of the setup guides.
func agentShape() bodyShape {
	s := agentChangeShape()
	s.fields["type"] = oneOf(agentInbound, agentOutbound, "widget")
	s.required = []string{"type", "name", "agent"}
	return s
}

// agentChangeShape is the body of PUT /v2/assistants/{model_id}.
func agentChangeShape() bodyShape {
	return bodyShape{fields: map[string]valueType{
		"name": isText, "description": isText, "phone_number": isText, "external_webhook_url": isText, "inbound_call_webhook_url": isText,
		"voice_engine_version": isText, "is_recording": isFlag, "end_call_reasons": isTexts, "agent": objectOf(agentFields()),
		"max_duration": objectOf(map[string]valueType{"duration_seconds": isWhole, "is_enabled": isFlag}),
		"voicemail_message": objectOf(map[string]valueType{
			"enabled": isFlag, "mode": oneOf("exact_message", "prompt"), "exact_message": isText, "prompt": isText,
		}),
	}}
}

// agentFields are those of the object agent. llm, language, timezone and
// voice_synthesizer are open: their lists change, and the setup guides' own
// example names an llm that is on none.
func agentFields() map[string]valueType {
	all := map[string]valueType{
		"greeting_message_mode": oneOf("human", "agent_static", "agent_dynamic"), "patience_level": oneOf("low", "medium", "high"),
		"noise_cancellation": oneOf("standard", "advanced"), "fallback_provider": oneOf("elevenlabs", "deepgram", "synthflow"),
		"min_words_to_interrupt":         oneOf("0", "1", "2", "3", "4", "5"),
		"transcriber_provider":           oneOf("deepgram", "deepgram-nova-3", "synthflow-stt"),
		"transcriber_speech_recognition": oneOf("faster", "high_accuracy"),
		"end_call_reasons_v2":            isList,
		"background_noise":               objectOf(map[string]valueType{"enabled": isFlag, "type": oneOf("cafe", "office"), "volume": isWhole}),
	}
	for _, group := range []struct {
		kind  valueType
		names []string
	}{
		{isText, []string{
			"prompt", "greeting_message", "llm", "language", "voice_id", "voice_synthesizer", "voice_prompt", "timezone",
			"global_audio_tags", "reminder_after_idle_message", "fallback_voice_id", "fallback_model", "consent_message",
		}},
		{isFlag, []string{
			"voice_use_speaker_boost", "realistic_filler_words", "is_transcript_disabled", "redact_pii", "send_user_idle_reminders",
			"is_consent_enabled",
		}},
		{isWhole, []string{
			"voice_optimise_streaming_latency", "allowed_idle_time_seconds", "initial_pause_seconds", "ring_pause_seconds",
			"interruption_fade_out", "greeting_message_human_talk_timeout", "reminder_after_idle_time_seconds",
		}},
		// The reference calls the first three whole numbers, and gives 0 to 1 as their range.
		{isNumber, []string{
			"voice_stability", "voice_similarity_boost", "voice_style", "suppression_level", "voice_speed", "voice_volume",
		}},
		{isTexts, []string{"transcriber_keywords", "synthesizer_filter_words", "end_call_reasons"}},
	} {
		for _, name := range group.names {
			all[name] = group.kind
		}
	}
	return all
}

func (s *Synthflow) createAgent(_ *http.Request, raw []byte) (any, *apiRefusal) {
	body, refused := agentShape().read(raw)
	if refused != nil {
		return nil, refused
	}
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case body.text("name") == "":
		return nil, badRequest(`field "name" is empty`)
	case len(a.agents) == maxAgents:
		return nil, badRequest("the account has %d agents, which is the limit", maxAgents)
	case a.opts.VoiceEngine == VoiceEngineRequire && !body.has("voice_engine_version"):
		return nil, badRequest(`field "voice_engine_version" is required: "2.0"`)
	}
	g := &accountAgent{id: a.newModelID(), kind: body.text("type"), fields: accountBody{}}
	if refused := a.change(g, body); refused != nil {
		return nil, refused
	}
	a.agents = append(a.agents, g)
	s.opts.Log.Info().Str("model_id", g.id).Str("type", g.kind).Str("number", g.number).Msg("agent created")
	return s.agentAnswer(g), nil
}

// agentAnswer is what creating and changing an agent answer.
func (s *Synthflow) agentAnswer(g *accountAgent) map[string]any {
	var agent accountBody
	_ = json.Unmarshal(g.fields["agent"], &agent) // an object, or it would not be there
	out := okAnswer(map[string]any{"model_id": s.told("agent", g.id)})
	out["details"] = map[string]any{"phone": g.number, "voice": agent.text("voice_id")}
	return out
}

// change takes over the fields that are there, those of agent{} one by one.
// Nothing is changed where it refuses. The caller has the lock.
func (a *account) change(g *accountAgent, body accountBody) *apiRefusal {
	if v := body.text("voice_engine_version"); body.has("voice_engine_version") {
		switch {
		case a.opts.VoiceEngine == VoiceEngineRefuse:
			return badRequest(`field "voice_engine_version" is not allowed`)
		case v != "1.0" && v != "2.0":
			return badRequest(`field "voice_engine_version" must be "1.0" or "2.0"`)
		}
	}
	for _, key := range []string{"external_webhook_url", "inbound_call_webhook_url"} {
		if text := body.text(key); text != "" && !isHTTP(text) {
			return badRequest("field %q is no http(s) URL", key)
		}
	}
	number := g.number
	if body.has("phone_number") {
		number = body.text("phone_number")
		if refused := a.canBind(g, number); refused != nil {
			return refused
		}
	}
	merged := maps.Clone(g.fields)
	maps.Copy(merged, body)
	if body.has("agent") && g.fields.has("agent") {
		var before, now accountBody
		_ = json.Unmarshal(g.fields["agent"], &before) // both are objects: their types were checked
		_ = json.Unmarshal(body["agent"], &now)
		maps.Copy(before, now)
		joined, err := json.Marshal(before)
		if err != nil || len(joined) > maxAPIBody {
			return badRequest("the agent is too large")
		}
		merged["agent"] = joined
	}
	g.fields, g.number = merged, number
	return nil
}

func isHTTP(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != ""
}

// canBind says whether an agent may have a number: it is imported, and no other
// inbound agent has it (phone numbers page). The caller has the lock.
func (a *account) canBind(g *accountAgent, number string) *apiRefusal {
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

// agentOf finds the agent of a request's path; the caller has the lock.
func (s *Synthflow) agentOf(r *http.Request) (*accountAgent, *apiRefusal) {
	id := r.PathValue("model")
	if g := s.account.findAgent(id); g != nil {
		return g, nil
	}
	return nil, noSuch("no agent %q", id)
}

func (s *Synthflow) changeAgent(r *http.Request, raw []byte) (any, *apiRefusal) {
	body, refused := agentChangeShape().read(raw)
	if refused != nil {
		return nil, refused
	}
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	g, refused := s.agentOf(r)
	if refused != nil {
		return nil, refused
	}
	if refused := a.change(g, body); refused != nil {
		return nil, refused
	}
	return s.agentAnswer(g), nil
}

func (s *Synthflow) deleteAgent(r *http.Request, _ []byte) (any, *apiRefusal) {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	g, refused := s.agentOf(r)
	if refused != nil {
		return nil, refused
	}
	a.agents = slices.DeleteFunc(a.agents, func(other *accountAgent) bool { return other == g })
	return okAnswer(map[string]any{"answer": "agent deleted"}), nil
}

// shown is an agent as it is listed.
func (s *Synthflow) shown(g *accountAgent) map[string]any {
	out := map[string]any{}
	for key, value := range g.fields {
		out[key] = value
	}
	out["model_id"], out["phone_number"] = s.told("agent", g.id), g.number
	return out
}

// getAgent answers with a list of one.
func (s *Synthflow) getAgent(r *http.Request, _ []byte) (any, *apiRefusal) {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	g, refused := s.agentOf(r)
	if refused != nil {
		return nil, refused
	}
	one := s.shown(g)
	attached := []any{}
	for _, slug := range g.attached {
		attached = append(attached, map[string]any{"number": "+" + slug, "sid": nil, "slug": slug})
	}
	one["attached_phone_numbers"], one["actions"], one["input_variables"] = attached, []any{}, []any{}
	return okAnswer(map[string]any{"pagination": pagination(1, defaultPage, 0), "assistants": []any{one}}), nil
}

func (s *Synthflow) listAgents(r *http.Request, _ []byte) (any, *apiRefusal) {
	limit, offset, refused := page(r.URL.Query())
	if refused != nil {
		return nil, refused
	}
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []any{}
	for _, g := range cut(a.agents, limit, offset) {
		list = append(list, s.shown(g))
	}
	return okAnswer(map[string]any{"pagination": pagination(len(a.agents), limit, offset), "assistants": list}), nil
}

// attachNumbers gives an outbound agent the numbers that it calls from.
func (s *Synthflow) attachNumbers(r *http.Request, raw []byte) (any, *apiRefusal) {
	body, refused := bodyShape{fields: map[string]valueType{"phone_numbers": isTexts, "phone_number_slugs": isTexts}}.read(raw)
	if refused != nil {
		return nil, refused
	}
	if body.has("phone_numbers") == body.has("phone_number_slugs") {
		return nil, &apiRefusal{http.StatusUnprocessableEntity, `one of the fields "phone_numbers" and "phone_number_slugs" is needed`}
	}
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	g, refused := s.agentOf(r)
	if refused != nil {
		return nil, refused
	}
	if g.kind != agentOutbound {
		return nil, badRequest("agent %s is not outbound; an inbound agent has its phone_number", g.id)
	}
	attached := g.attached
	for _, one := range append(body.texts("phone_numbers"), body.texts("phone_number_slugs")...) {
		n := a.findNumber(one)
		if n == nil {
			return nil, noSuch("no phone number %q", one)
		}
		if !slices.Contains(attached, n.slug) {
			attached = append(slices.Clone(attached), n.slug)
		}
	}
	g.attached = attached
	return map[string]any{"status": "ok"}, nil
}

func (s *Synthflow) detachNumber(r *http.Request, _ []byte) (any, *apiRefusal) {
	a := s.account
	a.mu.Lock()
	defer a.mu.Unlock()
	g, refused := s.agentOf(r)
	if refused != nil {
		return nil, refused
	}
	slug := r.PathValue("slug")
	if !slices.Contains(g.attached, slug) {
		return nil, noSuch("no phone number %q at agent %s", slug, g.id)
	}
	g.attached = slices.DeleteFunc(slices.Clone(g.attached), func(other string) bool { return other == slug })
	return map[string]any{"status": "ok"}, nil
}
