package otlp

import (
	"go.opentelemetry.io/otel/attribute"

	"flowbridge/store/record"
)

// talk returns a description of the call's conversation, as attributes of its span.
func talk(t *record.Talk) (all []attribute.KeyValue) {
	if t == nil {
		return nil
	}
	add := func(name string, ms *int64) {
		if ms != nil {
			all = append(all, attribute.Int64("flowbridge.talk."+name, *ms))
		}
	}
	all = append(all, attribute.String("flowbridge.talk.confidence", t.Confidence))
	add("first_agent_ms", t.FirstAgentMS)
	if t.Turns != nil {
		add("turn_p50_ms", &t.Turns.P50)
		add("turn_p95_ms", &t.Turns.P95)
	}
	if t.BargeIns != nil {
		add("barge_in_p50_ms", &t.BargeIns.P50)
	}
	add("barge_ins_ignored", t.Ignored)
	add("agent_dead_air_ms", t.AgentDeadAirMS)
	return all
}
