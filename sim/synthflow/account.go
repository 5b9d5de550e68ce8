package synthflow

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"flowbridge/sim/internal/standin"
)

// Account is the customer's account at the platform. It may be empty, and the API can add to it.
type Account struct {
	Workspaces         []string // workspaces of the token; empty for any
	Numbers            []Number // already imported
	DemoAgent          string   // id of an existing agent; while it is the only one, any model_id is prepared
	RefusesVoiceEngine bool     // refuse voice_engine_version in a new agent, because the API reference lacks it
}

// Number is an imported number with its inbound agent.
type Number struct {
	Number  string // E.164, with +
	ModelID string // id of its agent; if empty, the number gets a new agent
}

// ParseNumber parses "+15550100002" or "+15550100002=<model id>".
func ParseNumber(s string) (Number, error) {
	number, model, given := strings.Cut(s, "=")
	if !e164.MatchString(number) {
		return Number{}, fmt.Errorf("number %q: want E.164, such as +15550100002", number)
	}
	if given && !modelID.MatchString(model) {
		return Number{}, fmt.Errorf("number %q: %q is not an agent's id: want a UUID or 1744274157255x646200691892837600",
			number, model)
	}
	return Number{number, model}, nil
}

var (
	e164 = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`)
	// An id is a UUID, or has the old form.
	modelID = regexp.MustCompile(`^([0-9]{13}x[0-9]{15,18}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
)

// Validate returns an error that says what is wrong with the account.
func (o Account) Validate() error {
	if slices.Contains(o.Workspaces, "") {
		return errors.New("a workspace without an id")
	}
	seen := map[string]bool{}
	for _, n := range o.Numbers {
		for _, one := range []string{n.Number, n.ModelID} {
			if one != "" && seen[one] {
				return fmt.Errorf("%q is given twice", one)
			}
			seen[one] = true
		}
	}
	return nil
}

// account holds numbers and agents in memory, each with the fields of its requests. Its objects are never changed, but
// replaced.
type account struct {
	opts Account

	mu      sync.Mutex                    // guards the fields below
	numbers standin.Table[standin.Object] // by slug: the number without its plus sign
	agents  standin.Table[standin.Object] // by model_id, which is also one of the fields
}

const agentInbound = "inbound"

func newAccount(o Account) *account {
	a := &account{opts: o}
	if id := o.DemoAgent; id != "" {
		a.agents.Put(id, standin.Object{"model_id": id, "type": "outbound", "name": "Demo"})
	}
	workspace := append(slices.Clone(o.Workspaces), "simulated")[0]
	for _, n := range o.Numbers {
		a.numbers.Put(slugOf(n.Number), standin.Object{"phone_number": n.Number, "workspace_id": workspace})
		id := cmp.Or(n.ModelID, uuid.NewString())
		a.agents.Put(id, standin.Object{
			"model_id": id, "type": agentInbound, "name": "Agent of " + n.Number, "phone_number": n.Number,
		})
	}
	return a
}

// mayUse reports whether the token allows a workspace.
func (a *account) mayUse(workspace string) bool {
	return len(a.opts.Workspaces) == 0 || slices.Contains(a.opts.Workspaces, workspace)
}

func slugOf(number string) string { return strings.TrimPrefix(number, "+") }

// inboundAgent returns the agent that answers a number, or nil. The caller must hold a's lock.
func (a *account) inboundAgent(number string) standin.Object {
	for _, g := range a.agents.All() {
		if bound := g.Text("phone_number"); g.Text("type") == agentInbound && bound != "" && slugOf(bound) == slugOf(number) {
			return g
		}
	}
	return nil
}

// dialled holds the account's data about a called number.
type dialled struct {
	strict   bool           // the account has numbers, so only they can be called
	imported bool           // the number is one of the account's
	agent    standin.Object // the agent of the number, or nil
}

func (a *account) dialled(number string) dialled {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := dialled{strict: a.numbers.Len() > 0}
	if a.numbers.Get(slugOf(number)) != nil {
		d.imported, d.agent = true, a.inboundAgent(number)
	}
	return d
}

// agent returns an agent by its id. An account without this agent takes calls for it all the same.
func (a *account) agent(id string) standin.Object {
	a.mu.Lock()
	defer a.mu.Unlock()
	if g := a.agents.Get(id); g != nil {
		return g
	}
	return standin.Object{"model_id": id}
}

// Numbers lists the numbers with their agents, in the order of their import.
func (p *Platform) Numbers() (all []Number) {
	a := p.account
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, n := range a.numbers.All() {
		number := n.Text("phone_number")
		all = append(all, Number{number, a.inboundAgent(number).Text("model_id")})
	}
	return all
}
