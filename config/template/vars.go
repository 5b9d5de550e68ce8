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

// Vars are the values of one call that a template can name.
type Vars struct {
	// To is the called party, from the Request-URI.
	To Party
	// From is the calling party. On trusted trunks it comes from P-Asserted-Identity or Remote-Party-ID if present,
	// otherwise from From.
	From Party
	// CallID is Flowbridge's id of the call.
	CallID string
	// SIPCallID is the carrier's Call-ID.
	SIPCallID string
	// Trunk is the name of the trunk that calls, or empty.
	Trunk string
	// Target is the name of the target that calls, or empty.
	Target string
	// Direction is inbound or outbound (see Route.Direction).
	Direction string
	// Route is the name or index of the route.
	Route string
	// Attempt counts the targets tried, from 1.
	Attempt int
	// Diversion is the number of the topmost Diversion, or else from History-Info. It may be empty.
	Diversion string
	// Row is the row of the agent's number in the table of numbers. It is nil if there is none.
	Row Row
	// Prepare is the result of the prepare step. It is nil if there was none.
	Prepare *PrepareVars
	// Rescue describes the lost agent if a target takes over from an agent whose leg has died. Otherwise it is empty.
	Rescue RescueVars
	// Queue says how long the caller has waited in the route's queue.
	Queue QueueVars
	// Told is the sound that the caller is told before the agent is connected, or empty.
	Told string
	// Verified is the result of verifying the caller. It is nil if the trunk's calls are not verified.
	Verified *IdentityVars
	// HeaderFunc returns the first value of a header of the carrier's INVITE.
	HeaderFunc func(name string) string
}

// The values of routes[].direction.
const (
	DirectionInbound  = "inbound"
	DirectionOutbound = "outbound"
)

// Lead returns the customer's side of the call: the caller or, in an outbound call, the called party.
func (v Vars) Lead() Party { return *v.lead() }

func (v *Vars) lead() *Party {
	if v.Direction == DirectionOutbound {
		return &v.To
	}
	return &v.From
}

// Agent returns the other side, whose number is the agent's.
func (v Vars) Agent() Party { return *v.agent() }

func (v *Vars) agent() *Party {
	if v.Direction == DirectionOutbound {
		return &v.From
	}
	return &v.To
}

// Identity returns the result of verifying the caller. It is empty if the trunk's calls are not verified.
func (v Vars) Identity() IdentityVars {
	if v.Verified == nil {
		return IdentityVars{}
	}
	return *v.Verified
}

// Header returns the first value of a header of the carrier's INVITE, or "".
func (v Vars) Header(name string) string {
	if v.HeaderFunc == nil {
		return ""
	}
	return v.HeaderFunc(name)
}

// Party is one of the two sides of a call, as a template sees it.
type Party struct {
	// Number is the digits, with a + if the number's international form is known. If it is not a number, it is the user
	// part.
	Number string
	// User is the user part as received.
	User string
	// Name is the display name.
	Name string
	// Host is the host of the URI.
	Host string
	// URI is the whole URI.
	URI string
}

// dialled returns the number or user part in a field, named as in walker.dials. ok is false if the field does not
// belong to a party.
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

// dialled returns the number or user part in one of the party's fields. For "", it returns those in all of them.
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

// Row is a row of the table of numbers: values by column. It is nil if the call's number has no row.
type Row map[string]string

// PrepareVars is the answer of the prepare step.
type PrepareVars struct {
	// CallID is the platform's id for the call.
	CallID string
	// Body is the JSON answer.
	Body []byte
}

// RescueVars tells a target about the agent that it takes over from. It is empty in other calls.
type RescueVars struct {
	// Cause is why the agent's leg ended. It is a cause as in records.
	Cause string
	// Seconds is how long the call had been answered at that time.
	Seconds string
	// Target is the name of the lost agent's target.
	Target string
}

// QueueVars tells a target about a caller that waited for a place. It is empty for other callers.
type QueueVars struct {
	// Seconds is how long the caller waited.
	Seconds string
}

// IdentityVars is the result of a verification (trunks[].identity).
type IdentityVars struct {
	// Verstat is TN-Validation-Passed, TN-Validation-Failed or No-TN-Validation.
	Verstat string
	// Attest is A, B or C if the call has passed the verification and its signature gives it.
	Attest string
	// OrigID is the origid of a call that has passed the verification.
	OrigID string
}

var errNotJSON = errors.New("the prepare answer is not JSON")

// JSON returns the value at a dot path ("custom_variables.name", "labels.0") of the answer, or "" if it is missing or
// null. Numbers and booleans are returned as written, objects and lists as JSON.
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

// DecodeJSON reads exactly one JSON value, keeping numbers as written.
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

// AtPath returns the value at a dot path of a decoded JSON value, or nil if it is missing or null.
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
