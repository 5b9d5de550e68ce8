package platform

import (
	"regexp"
	"slices"
	"strings"
	"time"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// Description holds a platform's documented requirements for calls to it.
type Description struct {
	Name   string // the name in `flowbridge simulate NAME`
	Title  string
	Source string // source of the whole description, with the date of reading
	API    *API   // nil if the platform requires no request before a call
	Asks   *Asks  // nil if it answers without asking the owner
	Agent  Agent
}

// API is the request before a call.
type API struct {
	Route    string // method and path; if empty, every request is accepted
	TokenIn  string // the header for the token; if empty, Authorization: Bearer is used
	Body     standin.Shape
	Status   int
	Answer   standin.Object // texts may have {id}, {sip} (the agent's address) and {body.NAME} (a member of the request)
	Failed   standin.Object // members that differ in an answer for sim.FaultFailed
	Digits   bool           // ids are digits, not UUIDs
	Lifetime time.Duration  // how long an id is valid
}

// Agent is the SIP side.
type Agent struct {
	Transports []string       // UDP, TCP, TLS; the first is the default
	User       *regexp.Regexp // required form of the Request-URI's user part; nil for an id of the API
	UserIs     string         // that form in words
	SRTP       string         // as in sim.AgentOptions.SRTP
	Digest     bool           // an INVITE must present credentials
	SecretIn   string         // the header that must have the secret, in this spelling; may be empty
	Prefix     string         // prefix of a header's name that the variable's name lacks: "X-" or nothing
}

// User parts of a Request-URI, in the two forms that occur.
var (
	e164    = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	anyName = regexp.MustCompile(`^\+?[A-Za-z0-9][A-Za-z0-9._-]*$`)
)

// Descriptions returns the descriptions of all platforms, in alphabetical order.
func Descriptions() []Description {
	all := []Description{
		retell, elevenLabs, liveKit, openAI, telnyx, bland, polyAI, ultravox, daily, pipecat, trunk,
		azure, xAI, google, cartesia,
	}
	slices.SortFunc(all, func(a, b Description) int { return strings.Compare(a.Name, b.Name) })
	return all
}

var every = []string{"UDP", "TCP", "TLS"}

var retell = Description{
	Name: "retell", Title: "Retell, dial to SIP URI",
	Source: "https://docs.retellai.com/api-references/register-phone-call and /deploy/custom-telephony, read on 22 November 2026",
	API: &API{
		Route: "POST /v2/register-phone-call", Status: 201, Lifetime: 5 * time.Minute,
		Body: standin.Shape{Required: []string{"agent_id"}, Fields: standin.Fields{
			"agent_id": standin.TextWithin(1, 200), "agent_version": standin.IsWhole, "agent_override": standin.IsObject,
			"from_number": standin.IsString, "to_number": standin.IsString, "direction": standin.IsOneOf("inbound", "outbound"),
			"metadata": standin.IsObject, "retell_llm_dynamic_variables": standin.IsStringMap,
		}},
		Answer: standin.Object{
			"call_type": "phone_call", "call_id": "{id}", "call_status": "registered", "agent_id": "{body.agent_id}",
			"agent_version": 0,
			"from_number":   "{body.from_number}", "to_number": "{body.to_number}", "direction": "{body.direction}",
		},
		Failed: standin.Object{"call_status": "error"},
	},
	Agent: Agent{Transports: []string{"TCP", "UDP", "TLS"}, Prefix: "X-"},
}

var elevenLabs = Description{
	Name: "elevenlabs", Title: "ElevenLabs Agents, SIP trunking",
	Source: "https://elevenlabs.io/docs/eleven-agents/phone-numbers/sip-trunking, read on 22 November 2026",
	Agent: Agent{
		Transports: []string{"TCP", "TLS"}, User: anyName, UserIs: "the number or name that was imported",
		SRTP: sim.SRTPOptional, Digest: true,
	},
}

var liveKit = Description{
	Name: "livekit", Title: "LiveKit SIP, inbound trunk",
	Source: "https://docs.livekit.io/telephony/accepting-calls/inbound-trunk, read on 22 November 2026",
	Agent: Agent{
		Transports: []string{"TCP", "UDP", "TLS"}, User: e164, UserIs: "a number of the trunk, with +",
		SRTP: sim.SRTPOptional, Digest: true,
	},
}

var openAI = Description{
	Name: "openai", Title: "OpenAI, SIP: Realtime and GPT-Live",
	Source: "https://developers.openai.com/api/docs/guides/realtime-sip and /voice-sip, read on 22 and 23 November 2026",
	Agent: Agent{
		Transports: []string{"TLS"}, User: regexp.MustCompile(`^proj_[A-Za-z0-9]+$`), UserIs: "the project's id, proj_…",
		SRTP: sim.SRTPOptional,
	},
	Asks: &Asks{Questions: []Question{realtime("/v1/realtime/calls/{id}"), {
		Event: "live.transport.incoming", Data: map[string]any{"type": "sip"}, ID: "session_id", Prefix: "live_",
		Path: "/v1/live/sessions/{id}", In: "session",
		Accept: standin.Shape{Required: []string{"session"}, Fields: standin.Fields{"session": standin.Shape{
			Required: []string{"type", "model"}, Fields: standin.Fields{
				"type": standin.IsOneOf("live"), "model": standin.IsString, "instructions": standin.IsString,
				"audio":      standin.IsObject,
				"delegation": standin.IsObject, "store": standin.IsBool,
			},
		}.Check}},
		Reject: rejection("status_code"),
	}}},
}

var azure = Description{
	Name: "azure", Title: "Azure OpenAI Realtime, SIP",
	Source: "https://learn.microsoft.com/en-us/azure/foundry/openai/how-to/realtime-audio-sip, read on 23 November 2026",
	Agent:  openAI.Agent,
	Asks:   &Asks{Questions: []Question{realtime("/openai/v1/realtime/calls/{id}")}, TokenIn: "api-key"},
}

var xAI = Description{
	Name: "xai", Title: "xAI Grok Voice, SIP",
	Source: "https://docs.x.ai/developers/model-capabilities/audio/voice-agent/sip, read on 23 November 2026; that your server joins is taken as done",
	Agent: Agent{
		Transports: []string{"TLS"}, User: e164, UserIs: "a number of the trunk, with +", SRTP: sim.SRTPOptional,
		Digest: true,
	},
}

var google = Description{
	Name: "google", Title: "Google CX Agent Studio and Dialogflow, SIP trunk",
	Source: "docs.cloud.google.com, CX documentation, concept/integration/sip-trunk, read on 26 November 2026; " +
		"no certificate of the caller is asked for",
	Agent: Agent{
		Transports: []string{"TLS", "TCP"}, User: e164, UserIs: "a number of the trunk, with +",
		SRTP: sim.SRTPRequired,
	},
}

var cartesia = Description{
	Name: "cartesia", Title: "Cartesia Line, SIP trunk",
	Source: "https://docs.cartesia.ai/line/integrations/telephony/sip-trunking, read on 23 November 2026",
	Agent: Agent{
		Transports: []string{"TLS", "TCP"}, User: e164, UserIs: "a number of the trunk, with +", SRTP: sim.SRTPOptional,
		Digest: true,
	},
}

// realtime returns the Realtime API's question about a call. The decision is sent to path.
func realtime(path string) Question {
	return Question{
		Event: "realtime.call.incoming", ID: "call_id", Prefix: "rtc_", Path: path,
		Accept: standin.Shape{Required: []string{"type"}, Fields: standin.Fields{
			"type": standin.IsOneOf("realtime"), "model": standin.IsString, "instructions": standin.IsString,
			"audio":             standin.IsObject,
			"output_modalities": standin.IsStrings, "include": standin.IsStrings, "tools": standin.IsList,
			"prompt": standin.IsObject,
		}.With(func(any) string { return "" }, "max_output_tokens", "tool_choice", "tracing", "truncation")},
		Reject: rejection(),
	}
}

func rejection(required ...string) standin.Shape {
	return standin.Shape{Required: required, Fields: standin.Fields{"status_code": standin.NumberWithin(300, 699)}}
}

var telnyx = Description{
	Name: "telnyx", Title: "Telnyx AI assistant, by its number over a credential connection",
	Source: "https://developers.telnyx.com/docs/voice/sip-trunking, read on 22 November 2026",
	Agent: Agent{
		Transports: []string{"TCP", "UDP", "TLS"}, User: e164, UserIs: "the assistant's number, with +",
		SRTP: sim.SRTPOptional, Digest: true,
	},
}

var bland = Description{
	Name: "bland", Title: "Bland, SIP trunk",
	Source: "https://docs.bland.ai/agents/sip-network, read on 22 November 2026",
	Agent: Agent{
		Transports: []string{"TLS"}, User: e164, UserIs: "an attached number, with +", SRTP: sim.SRTPRequired,
	},
}

var polyAI = Description{
	Name: "polyai", Title: "PolyAI, SIP trunk with a token",
	Source: "https://docs.poly.ai/integrations/voice/sip/genesys and /five9, read on 22 November 2026",
	Agent: Agent{
		Transports: []string{"TLS"}, User: anyName, UserIs: "the agent's number or extension",
		SRTP: sim.SRTPOptional, SecretIn: "X-PolyAi-Auth-Token",
	},
}

var ultravox = Description{
	Name: "ultravox", Title: "Ultravox, incoming SIP",
	Source: "https://docs.ultravox.ai/telephony/sip, read on 22 November 2026",
	Agent: Agent{
		Transports: every, User: regexp.MustCompile(`^agent_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`),
		UserIs: "agent_ and the agent's id",
	},
}

var daily = Description{
	Name: "daily", Title: "Daily, SIP trunk",
	Source: "https://docs.daily.co/docs/guides/features/dial-in-dial-out/sip-trunk, read on 22 November 2026",
	Agent:  Agent{Transports: every, User: anyName, UserIs: "the called number", Digest: true},
}

var pipecat = Description{
	Name: "pipecat", Title: "A Pipecat bot behind a room of Daily",
	Source: "https://docs.daily.co/docs/guides/features/dial-in-dial-out/sip, read on 22 November 2026; the start is your own server's",
	API: &API{
		Route: "POST /start", Status: 200, Digits: true, Lifetime: 2 * time.Hour,
		Body: standin.Shape{Required: []string{"from", "to"}, Fields: standin.Fields{
			"from": standin.IsString, "to": standin.IsString, "call": standin.IsString,
		}},
		Answer: standin.Object{
			"name": "room-{id}", "config": map[string]any{"sip_uri": map[string]any{"endpoint": "sip:{id}@{sip}"}},
		},
		Failed: standin.Object{"config": nil},
	},
	Agent: Agent{Transports: every},
}

// AnyHTTP returns a platform of the kind http that gives every request the same answer, and accepts every call. Texts
// of the answer may contain {id}, {sip} and {body.NAME}, as in API.Answer. tokenIn is API.TokenIn. status is the status
// of the answer to a POST.
func AnyHTTP(answer map[string]any, status int, tokenIn string) Description {
	return Description{
		Name: "http", Title: "A platform that is asked by HTTP", Source: "the answer that you give it",
		API: &API{
			TokenIn: tokenIn, Body: standin.Shape{Open: true}, Status: status, Answer: answer, Lifetime: 5 * time.Minute,
		},
		Agent: Agent{Transports: every, User: regexp.MustCompile(``), UserIs: "anything", SRTP: sim.SRTPOptional},
	}
}

var trunk = Description{
	Name: "trunk", Title: "Any SIP trunk that asks for nothing", Source: "RFC 3261",
	Agent: Agent{Transports: every, User: anyName, UserIs: "a number or a name", SRTP: sim.SRTPOptional},
}
