package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Vars is what a template can name about one call.
type Vars struct {
	// To is the called party, from the Request-URI.
	To Party
	// From is the calling party, from P-Asserted-Identity or Remote-Party-ID on trusted trunks, else from From.
	From Party
	// CallID is Flowbridge's id of the call.
	CallID string
	// SIPCallID is the carrier's Call-ID.
	SIPCallID string
	// Trunk is the name of the trunk that calls, or empty.
	Trunk string
	// Target is the name of the target that calls, or empty.
	Target string
	// Direction is inbound or outbound, see Route.Direction.
	Direction string
	// Route is the name or index of the route.
	Route string
	// Attempt counts the targets tried, from 1.
	Attempt int
	// Diversion is the number of the topmost Diversion, or what History-Info says, or empty.
	Diversion string
	// Row is what the table of numbers has of the agent's number; nil where it has no row.
	Row Row
	// Prepare is what the prepare step gave; nil where there was none.
	Prepare *PrepareVars
	// Rescue says what has happened, where a target takes over from an agent whose leg has died; else empty.
	Rescue RescueVars
	// Queue says how long the caller has waited in the route's queue.
	Queue QueueVars
	// Verified is what the verification of the caller says; nil: the trunk's calls are not verified.
	Verified *IdentityVars
	// HeaderFunc gives the first value of a header of the carrier's INVITE.
	HeaderFunc func(name string) string
}

// The values of routes[].direction.
const (
	DirectionInbound  = "inbound"
	DirectionOutbound = "outbound"
)

// Lead is the customer's side of the call: the caller, or the called party of a call that is outbound.
func (v Vars) Lead() Party { return *v.lead() }

func (v *Vars) lead() *Party {
	if v.Direction == DirectionOutbound {
		return &v.To
	}
	return &v.From
}

// Agent is the other side, whose number is the agent's.
func (v Vars) Agent() Party { return *v.agent() }

func (v *Vars) agent() *Party {
	if v.Direction == DirectionOutbound {
		return &v.From
	}
	return &v.To
}

// Identity is what the verification of the caller says. All is empty where the trunk's calls are not verified.
func (v Vars) Identity() IdentityVars {
	if v.Verified == nil {
		return IdentityVars{}
	}
	return *v.Verified
}

// Header gives the first value of a header of the carrier's INVITE, or "".
func (v Vars) Header(name string) string {
	if v.HeaderFunc == nil {
		return ""
	}
	return v.HeaderFunc(name)
}

// Party is one of the two sides of a call, as a template sees it.
type Party struct {
	// Number is digits, with + where that can be told; of what is no number, the user part.
	Number string
	// User is the user part as it came.
	User string
	// Name is the display name.
	Name string
	// Host is the host of the URI.
	Host string
	// URI is the whole URI.
	URI string
}

// dialled gives what a field, named as walker.dials does, has of a number; ok is false if it is of no party.
func (v *Vars) dialled(field string) (texts [2]string, ok bool) {
	switch name, part, _ := strings.Cut(field, "."); name {
	case "To":
		return v.To.dialled(part), true
	case "From":
		return v.From.dialled(part), true
	case "Lead":
		return v.lead().dialled(part), true
	case "Agent":
		return v.agent().dialled(part), true
	case "Diversion":
		return [2]string{v.Diversion}, true
	}
	return texts, false
}

// dialled gives what one of the party's fields, or "" for any of them, has of a number.
func (p *Party) dialled(field string) (texts [2]string) {
	switch field {
	case "Number":
		texts[0] = p.Number
	case "User", "URI":
		texts[0] = p.User
	case "":
		texts = [...]string{p.Number, p.User}
	}
	return texts
}

// Row is a row of the table of numbers: values by column. It is nil in a call whose number has none.
type Row map[string]string

// PrepareVars is the answer of the prepare step.
type PrepareVars struct {
	// CallID is the platform's id for the call.
	CallID string
	// Body is the JSON answer.
	Body []byte
}

// RescueVars is what a target may know of the agent that it takes over from. All are empty in other calls.
type RescueVars struct {
	// Cause is why the agent's leg has ended, of the causes of records.
	Cause string
	// Seconds is how long the call had been answered by then.
	Seconds string
	// Target is the name of the lost agent's target.
	Target string
}

// QueueVars is what a target may know of a caller that has waited for a place. It is empty for other callers.
type QueueVars struct {
	// Seconds is how long the caller has waited.
	Seconds string
}

// IdentityVars is the result of a verification (trunks[].identity).
type IdentityVars struct {
	// Verstat is TN-Validation-Passed, TN-Validation-Failed or No-TN-Validation.
	Verstat string
	// Attest is A, B or C, where the call has passed and its signature says so.
	Attest string
	// OrigID is the origid of a call that has passed.
	OrigID string
}

var errNotJSON = errors.New("the prepare answer is not JSON")

// JSON gives the value at a dot path ("custom_variables.name", "labels.0") of the answer; "" where there is none or it
// is null. Numbers and booleans come as they are written, objects and lists as JSON.
func (p *PrepareVars) JSON(path string) (string, error) {
	if p == nil {
		return "", errors.New("there is no prepare answer")
	}
	v, err := DecodeJSON(p.Body)
	if err != nil {
		return "", errNotJSON
	}
	return plainJSON(AtPath(v, path))
}

// DecodeJSON reads exactly one JSON value, with its numbers as they are written.
func DecodeJSON(body []byte) (v any, err error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errNotJSON
	}
	return v, nil
}

// AtPath gives the value at a dot path of a decoded JSON value; nil where there is none or it is null.
func AtPath(v any, path string) any {
	for key := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[key]
		case []any:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(at) {
				return nil
			}
			v = at[i]
		default:
			return nil
		}
	}
	return v
}

func plainJSON(v any) (string, error) {
	switch v := v.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	}
	b, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("prepare answer: %w", err)
	}
	return string(b), nil
}
