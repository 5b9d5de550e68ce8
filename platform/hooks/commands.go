package hooks

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/internal/httpd"
)

// Command is a command that an agent's tool has sent.
type Command struct {
	// IDs are candidates for the call's id. If Sure, the tool sent exactly one, from its configuration. Otherwise they are
	// all ids in the platform's data about the call; callers may have written some of them.
	IDs  []string
	Sure bool
	// Argument is the id in the model's arguments, if the platform itself also says which call it is. Otherwise it is
	// empty.
	Argument string

	Arguments
}

// Arguments are the arguments of a command: Do is transfer, hold, resume, dtmf, hangup or status.
type Arguments struct {
	Call     json.RawMessage `json:"call"`
	Do       Text            `json:"do"`
	To       Text            `json:"to"`
	Announce Text            `json:"announce"`
	Accept   Text            `json:"accept"`
	Digits   Text            `json:"digits"`
}

// Text is a JSON string, or the digits of a whole number without exponent: models send numbers for digits.
type Text string

// clipped returns the text for the log, cut to the maximum length of an id.
func (t Text) clipped() string { return string(t[:min(maxID, len(t))]) }

// UnmarshalJSON accepts a string or a number. null changes nothing.
func (t *Text) UnmarshalJSON(b []byte) error {
	kind := map[byte]string{'n': "null", '"': "string", '[': "array", '{': "object", 't': "bool", 'f': "bool"}[b[0]]
	switch whole := strings.Trim(string(b), "0123456789") == ""; {
	case kind == "null":
		return nil
	case kind == "string":
		return json.Unmarshal(b, (*string)(t))
	case whole:
		*t = Text(b)
		return nil
	}
	return &json.UnmarshalTypeError{Value: cmp.Or(kind, "number "+string(b)), Type: reflect.TypeFor[Text]()}
}

// Token is a token that may command calls.
type Token struct {
	Name, Secret string
	Targets      []string // targets whose calls it may command
	PerHour      int      // maximum number of transfers in any hour

	mu     sync.Mutex
	second *rate.Limiter // nil before the first command
	hour   []time.Time   // times of its transfers
}

// These are the limits for the commands of a token.
const (
	commandsPerSecond = 5
	commandsAtOnce    = 10
	maxCommand        = 1 << 20 // bytes of a request; a platform may send the whole conversation
	maxToolCalls      = 8
	maxCommandIDs     = 64
)

// RefusalError says why a command was not carried out, in words that an agent can speak.
type RefusalError struct {
	Status       int
	Words, Cause string
}

func (e *RefusalError) Error() string { return cmp.Or(e.Cause, e.Words) }

// Commands answers POST requests with the commands of agents, in the form in which their platforms' tools send them.
type Commands struct {
	Tokens []*Token
	// Do carries out a command of a token, and returns the words for the agent. Its error is a *RefusalError, or another
	// one if the call does not answer.
	Do  func(ctx context.Context, by *Token, c Command) (words string, err error)
	Log zerolog.Logger

	limit     sync.Once
	strangers zerolog.Logger
}

// ServeHTTP answers one request.
func (h *Commands) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	by := h.tokenOf(r)
	switch {
	case by == nil:
		h.limit.Do(func() { h.strangers = httpd.Strangers(h.Log) })
		h.strangers.Warn().Str("src", r.RemoteAddr).Msg("command with a missing or wrong token")
		w.Header().Set("WWW-Authenticate", `Bearer realm="flowbridge"`)
		httpd.Refuse(w, http.StatusUnauthorized,
			"the bearer token is missing or wrong: send Authorization: Bearer and a token of hooks.commands")
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", "POST")
		httpd.Refuse(w, http.StatusMethodNotAllowed, "use POST")
		return
	case !by.mayAsk(1):
		httpd.Answer(w, http.StatusTooManyRequests, tooMany)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCommand))
	if err != nil {
		httpd.Refuse(w, http.StatusRequestEntityTooLarge, "the body can't be read, or is longer than 1 MiB")
		return
	}
	asked, err := parseCommands(body, r.URL.RawQuery)
	if err != nil {
		h.Log.Warn().Err(err).Str("by", by.Name).Msg("command can't be read")
		httpd.Answer(w, http.StatusBadRequest, said{"The command can't be read.", err.Error()})
		return
	}
	if !by.mayAsk(len(asked) - 1) {
		httpd.Answer(w, http.StatusTooManyRequests, tooMany)
		return
	}
	h.answer(w, r, by, asked)
}

var tooMany = said{Result: "There are too many requests. Try again in a moment."} //nolint:gochecknoglobals // constant

// said is the answer to a tool, and toolResult the answer to one tool call of Vapi.
type said struct {
	Result string `json:"result"`
	Error  string `json:"error,omitempty"`
}

type toolResult struct {
	ID     string `json:"toolCallId"`
	Result string `json:"result"`
}

// answer carries out commands. Vapi accepts only status 200, with a result for each tool call.
func (h *Commands) answer(w http.ResponseWriter, r *http.Request, by *Token, asked []toolCall) {
	results := []toolResult{}
	for _, one := range asked {
		refused := &RefusalError{http.StatusTooManyRequests, "No more transfers are allowed in this hour.", ""}
		words, err := "", error(refused)
		if one.Do != "transfer" || by.mayTransfer() {
			words, err = h.Do(r.Context(), by, one.Command)
		}
		if err != nil && !errors.As(err, &refused) {
			refused = &RefusalError{http.StatusServiceUnavailable, "The call does not answer. Try again.", ""}
		}
		h.Log.Info().Err(err).Str("by", by.Name).Str("do", one.Do.clipped()).Str("to", one.To.clipped()).
			Strs("ids", one.IDs[:min(4, len(one.IDs))]).Msg("command of an agent")
		switch {
		case one.id != "":
			results = append(results, toolResult{one.id, cmp.Or(words, refused.Words)})
		case err != nil:
			httpd.Answer(w, refused.Status, said{refused.Words, refused.Cause})
			return
		default:
			httpd.Answer(w, http.StatusOK, said{Result: words})
			return
		}
	}
	httpd.Answer(w, http.StatusOK, map[string]any{"results": results})
}

// tokenOf returns the token in a request, or nil.
func (h *Commands) tokenOf(r *http.Request) (found *Token) {
	shown := httpd.Bearer(r)
	for _, t := range h.Tokens { // compare with all tokens, so that the time does not reveal which one was close
		if t.Secret != "" && httpd.Same(shown, t.Secret) {
			found = t
		}
	}
	return found
}

// mayAsk counts commands, and reports whether all of them are within the limits.
func (t *Token) mayAsk(commands int) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.second = cmp.Or(t.second, rate.NewLimiter(commandsPerSecond, commandsAtOnce))
	return t.second.AllowN(time.Now(), commands)
}

// mayTransfer counts a transfer, and reports whether it is within the limit.
func (t *Token) mayTransfer() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hour = slices.DeleteFunc(t.hour, func(at time.Time) bool { return time.Since(at) >= time.Hour })
	if len(t.hour) >= t.PerHour {
		return false
	}
	t.hour = append(t.hour, time.Now())
	return true
}

// toolCall is a command, with the id of Vapi's tool call.
type toolCall struct {
	Command

	id string
}

// tool is a tool call of Vapi. Its arguments are an object, or an object as text.
type tool struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
	Function  *tool           `json:"function"`
}

var (
	errNoObject  = errors.New("it is not a JSON object of a form that docs/guides/hooks.md has")
	errNoCommand = errors.New(`there is no "do", and the tool's name begins with none`)
	errNoID      = errors.New(`there is no "call": send an id of the call`)
	errTools     = errors.New("there are no tool calls, or more than 8")
)

// parseCommands parses the body of a tool's request: our own form, Retell's custom function (name, call, args), or
// Vapi's message tool-calls. Parameters of the URL take precedence, so that a tool can be tied to one destination.
func parseCommands(body []byte, query string) ([]toolCall, error) {
	var all struct {
		Arguments

		Name    string          `json:"name"`
		Args    json.RawMessage `json:"args"`
		Message *struct {
			Call  json.RawMessage `json:"call"`
			Tools []tool          `json:"toolCallList"`
		} `json:"message"`
	}
	if err := json.Unmarshal(body, &all); err != nil && strings.TrimSpace(string(body)) != "" {
		return nil, misread(err, errNoObject)
	}
	if all.Message == nil {
		c, err := commandOf(all.Arguments, tool{Name: all.Name, Arguments: all.Args}, all.Call, query)
		return []toolCall{{Command: c}}, err
	}
	if n := len(all.Message.Tools); n == 0 || n > maxToolCalls {
		return nil, errTools
	}
	var calls []toolCall
	for _, t := range all.Message.Tools {
		c, err := commandOf(Arguments{}, *cmp.Or(t.Function, &t), all.Message.Call, query)
		if err != nil {
			return nil, err
		}
		calls = append(calls, toolCall{c, cmp.Or(t.ID, "-")})
	}
	return calls, nil
}

// misread returns an error that names the field if err is about a field. Otherwise it returns other.
func misread(err, other error) error {
	if kind, is := errors.AsType[*json.UnmarshalTypeError](err); is && kind.Field != "" {
		return fmt.Errorf("%w: %q is a JSON %s", errNoObject, strings.TrimPrefix(kind.Field, "Arguments."), kind.Value)
	}
	return other
}

// commandOf builds a command from arguments. The arguments of a tool call take precedence. call is the platform's data
// about the call.
func commandOf(a Arguments, t tool, call json.RawMessage, query string) (c Command, err error) {
	args, text := t.Arguments, ""
	if json.Unmarshal(args, &text) == nil {
		args = json.RawMessage(text)
	}
	a.Call = nil
	if strings.TrimSpace(string(args)) != "" {
		if err := json.Unmarshal(args, &a); err != nil {
			return c, misread(err, errNoCommand)
		}
	}
	for key, to := range map[string]*Text{
		"do": &a.Do, "to": &a.To, "announce": &a.Announce, "accept": &a.Accept, "digits": &a.Digits,
	} {
		*to = cmp.Or(Text(queryValue(query, key)), *to)
	}
	if a.Do == "" {
		name, _, _ := strings.Cut(strings.ReplaceAll(t.Name, "-", "_"), "_")
		a.Do = Text(name)
	}
	a.Do = Text(strings.ToLower(string(a.Do)))
	if a.Do == "" {
		return c, errNoCommand
	}
	c.Arguments = a
	_ = json.Unmarshal(a.Call, &c.Argument) // fails if it is not a string
	var said struct{ Call_ID, ID string }   //nolint:revive // names as in JSON, in any case
	var id string
	var all any
	// The value has one of these forms.
	_, _, _ = json.Unmarshal(call, &id), json.Unmarshal(call, &said), json.Unmarshal(call, &all)
	switch inURL := queryValue(query, "call"); {
	case inURL != "":
		c.IDs, c.Sure, c.Argument = []string{inURL}, true, ""
	case id != "":
		c.IDs, c.Sure = []string{id}, true
	default:
		c.IDs = idsIn(idsIn(idsIn(nil, said.Call_ID), said.ID), all)
	}
	if len(c.IDs) == 0 && c.Argument != "" { // only the arguments name the call
		c.IDs, c.Sure, c.Argument = []string{c.Argument}, true, ""
	}
	if len(c.IDs) == 0 || len(c.IDs[0]) > maxID {
		return c, errNoID
	}
	return c, nil
}

// idsIn appends the texts in a JSON value that can be ids.
func idsIn(all []string, v any) []string {
	switch v := v.(type) {
	case string:
		mayBe := len(v) >= 8 && len(v) <= maxID && !strings.Contains(v, " ")
		if mayBe && len(all) < maxCommandIDs && !slices.Contains(all, v) {
			all = append(all, v)
		}
	case []any:
		for _, one := range v {
			all = idsIn(all, one)
		}
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			all = idsIn(all, v[key])
		}
	}
	return all
}

// queryValue returns a parameter of a query. It does not turn a plus into a space: numbers and Call-IDs contain it, and
// clients may not escape it.
func queryValue(query, name string) string {
	for pair := range strings.SplitSeq(query, "&") {
		if text, ok := strings.CutPrefix(pair, name+"="); ok {
			if value, err := url.PathUnescape(text); err == nil {
				return value
			}
		}
	}
	return ""
}
