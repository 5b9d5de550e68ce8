package hooks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"flowbridge/internal/httpd"
)

// Command is what the tool of an agent asks for.
type Command struct {
	// IDs are those that the call may have. Sure: it is one that the tool was configured with; else they are all that the
	// platform says of the call, of which callers have written some.
	IDs  []string
	Sure bool

	Do       string // transfer, hold, resume, dtmf, hangup or status
	To       string
	Announce string
	Accept   string
	Digits   string
}

// Token is one that may command calls.
type Token struct {
	Name, Secret string
	Targets      []string // whose calls they are
	PerHour      int      // the most transfers in any hour

	mu     sync.Mutex
	second *rate.Limiter
	hour   []time.Time // when transfers were ordered, of the last hour
}

// The bounds of a token's commands.
const (
	commandsPerSecond = 5
	commandsAtOnce    = 10
	maxCommand        = 1 << 20 // bytes; a platform may send the whole conversation
	maxToolCalls      = 8
	maxCommandIDs     = 64
)

// RefusalError says why a command is not carried out, in words that an agent can speak.
type RefusalError struct {
	Status int
	Words  string
	Cause  error // for the log; may be nil
}

func (e *RefusalError) Error() string { return cmp.Or(textOf(e.Cause), e.Words) }

func textOf(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Commands answers POST with the commands of agents, as their platforms' tools send them.
type Commands struct {
	Tokens []*Token
	// Do carries out a command of a token, and gives the words for the agent. Its error is a *RefusalError, or another
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
	case !by.mayAsk():
		w.Header().Set("Retry-After", "1")
		httpd.Answer(w, http.StatusTooManyRequests, said{Result: "There are too many requests. Try again in a moment."})
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
	h.answer(w, r, by, asked)
}

// said is the answer to a tool.
type said struct {
	Result string `json:"result"`
	Error  string `json:"error,omitempty"`
}

// toolResult is the answer to one tool call of Vapi.
type toolResult struct {
	ID     string `json:"toolCallId"`
	Result string `json:"result"`
}

// answer carries out commands. Vapi takes nothing but 200, with a result for each tool call.
func (h *Commands) answer(w http.ResponseWriter, r *http.Request, by *Token, asked []toolCall) {
	results := []toolResult{}
	for _, one := range asked {
		words, err := h.carryOut(r.Context(), by, one.Command)
		refused := new(RefusalError)
		if err != nil && !errors.As(err, &refused) {
			refused = &RefusalError{http.StatusServiceUnavailable, "The call does not answer. Try again.", err}
		}
		h.Log.Info().Err(err).Str("by", by.Name).Str("do", one.Do).Str("to", one.To).Strs("ids", one.IDs[:min(4, len(one.IDs))]).
			Msg("command of an agent")
		switch {
		case one.id != "":
			results = append(results, toolResult{one.id, cmp.Or(words, refused.Words)})
		case err != nil:
			httpd.Answer(w, refused.Status, said{refused.Words, refused.Error()})
			return
		default:
			httpd.Answer(w, http.StatusOK, said{Result: words})
			return
		}
	}
	httpd.Answer(w, http.StatusOK, map[string]any{"results": results})
}

// carryOut has a command carried out within the bounds of its token.
func (h *Commands) carryOut(ctx context.Context, by *Token, c Command) (words string, err error) {
	if c.Do != "transfer" {
		return h.Do(ctx, by, c)
	}
	now := time.Now()
	if !by.take(now) {
		return "", &RefusalError{http.StatusTooManyRequests, "No more transfers are allowed in this hour.", nil}
	}
	if words, err = h.Do(ctx, by, c); err != nil {
		by.giveBack(now)
	}
	return words, err
}

// tokenOf finds the token that a request shows; nil: none.
func (h *Commands) tokenOf(r *http.Request) (found *Token) {
	shown := httpd.Bearer(r)
	for _, t := range h.Tokens { // all of them, so that the time does not tell which one was close
		if t.Secret != "" && httpd.Same(shown, t.Secret) {
			found = t
		}
	}
	return found
}

func (t *Token) mayAsk() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.second == nil {
		t.second = rate.NewLimiter(commandsPerSecond, commandsAtOnce)
	}
	return t.second.Allow()
}

// take counts a transfer, if there may be one more in this hour.
func (t *Token) take(now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hour = slices.DeleteFunc(t.hour, func(at time.Time) bool { return now.Sub(at) >= time.Hour })
	if len(t.hour) >= t.PerHour {
		return false
	}
	t.hour = append(t.hour, now)
	return true
}

// giveBack forgets a transfer that came to nothing.
func (t *Token) giveBack(at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.IndexFunc(t.hour, func(o time.Time) bool { return o.Equal(at) }); i >= 0 {
		t.hour = slices.Delete(t.hour, i, i+1)
	}
}

// toolCall is a command, with the id of Vapi's tool call.
type toolCall struct {
	Command

	id string
}

// arguments are those of a command, wherever a platform writes them.
type arguments struct {
	Call     json.RawMessage `json:"call"`
	Do       string          `json:"do"`
	To       string          `json:"to"`
	Announce string          `json:"announce"`
	Accept   string          `json:"accept"`
	Digits   string          `json:"digits"`
}

// tool is a tool call of Vapi. Arguments are an object, or that as text.
type tool struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Arguments json.RawMessage `json:"arguments"`
	Function  struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	} `json:"function"`
}

var (
	errNoCommand = errors.New(`there is no "do", and the tool's name begins with none`)
	errNoID      = errors.New(`there is no "call": send an id of the call`)
	errTools     = errors.New("there are no tool calls, or more than 8")
)

// parseCommands reads what a tool sends: our own form, Retell's custom function (name, call, args), or Vapi's tool-calls
// message. Parameters of the URL stand above it, so that a tool can be tied to one destination.
func parseCommands(body []byte, query string) ([]toolCall, error) {
	var all struct {
		arguments

		Name    string          `json:"name"`
		Args    json.RawMessage `json:"args"`
		Message *struct {
			Call  json.RawMessage `json:"call"`
			Tools []tool          `json:"toolCallList"`
		} `json:"message"`
	}
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, errors.New("it is not a JSON object of the form that docs/guides/hooks.md shows") //nolint:err113 // one place
	}
	if all.Message == nil {
		c, err := commandOf(all.arguments, all.Name, all.Args, all.Call, query)
		return []toolCall{{Command: c}}, err
	}
	if n := len(all.Message.Tools); n == 0 || n > maxToolCalls {
		return nil, errTools
	}
	var calls []toolCall
	for _, t := range all.Message.Tools {
		if t.Function.Name != "" {
			t.Name, t.Arguments = t.Function.Name, t.Function.Arguments
		}
		c, err := commandOf(arguments{}, t.Name, t.Arguments, all.Message.Call, query)
		if err != nil {
			return nil, err
		}
		calls = append(calls, toolCall{c, cmp.Or(t.ID, "-")})
	}
	return calls, nil
}

// commandOf makes a command of arguments, with those in args above them. call is what the platform says of the call.
func commandOf(a arguments, name string, args, call json.RawMessage, query string) (c Command, err error) {
	text := ""
	if json.Unmarshal(args, &text) == nil { // JSON as text
		args = json.RawMessage(text)
	}
	if a.Call = nil; len(bytes.TrimSpace(args)) > 0 && json.Unmarshal(args, &a) != nil {
		return c, errNoCommand
	}
	c = Command{Do: a.Do, To: a.To, Announce: a.Announce, Accept: a.Accept, Digits: a.Digits}
	id := ""
	for key, to := range map[string]*string{
		"do": &c.Do, "to": &c.To, "announce": &c.Announce, "accept": &c.Accept, "digits": &c.Digits, "call": &id,
	} {
		if value := queryValue(query, key); value != "" {
			*to = value
		}
	}
	if c.Do == "" {
		c.Do, _, _ = strings.Cut(strings.ReplaceAll(name, "-", "_"), "_")
	}
	if c.Do = strings.ToLower(c.Do); c.Do == "" {
		return c, errNoCommand
	}
	for _, from := range []json.RawMessage{a.Call, call} {
		if id == "" {
			_ = json.Unmarshal(from, &id) // else it is an object
		}
	}
	if c.Sure = id != ""; c.Sure {
		c.IDs = []string{id}
	} else {
		var known struct {
			CallID string `json:"call_id"`
			ID     string `json:"id"`
		}
		var object any
		_, _ = json.Unmarshal(call, &known), json.Unmarshal(call, &object) // it may be no object, and have none
		c.IDs = idsIn(idsIn(idsIn(nil, known.CallID), known.ID), object)
	}
	c.IDs = slices.DeleteFunc(c.IDs, func(id string) bool { return len(id) > maxID })
	if len(c.IDs) == 0 {
		return c, errNoID
	}
	return c, nil
}

// idsIn adds the texts in a JSON value that may be ids.
func idsIn(all []string, v any) []string {
	switch v := v.(type) {
	case string:
		if len(v) >= 8 && len(v) <= maxID && len(all) < maxCommandIDs && !strings.Contains(v, " ") && !slices.Contains(all, v) {
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

// queryValue is a parameter. A plus is not a space: numbers and Call-IDs have it, and clients may not escape it.
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
