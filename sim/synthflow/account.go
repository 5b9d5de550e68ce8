package synthflow

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"flowbridge/sim"
	"flowbridge/sim/internal/standin"
)

// How an account treats voice_engine_version. The setup guides ask for the field,
// and the API reference does not have it.
const (
	VoiceEngineAccept  = "accept"
	VoiceEngineRequire = "require"
	VoiceEngineRefuse  = "refuse"
)

// Account is the customer's account at the platform. The API can fill an empty one.
type Account struct {
	Workspaces  []string // of the token; empty: any
	Numbers     []Number // imported already
	LegacyIDs   bool     // new agents get ids of the old form, not UUIDs
	Gateway     bool     // errors have the form of the global gateway, not of a region
	VoiceEngine string   // VoiceEngineAccept if empty
	DemoAgent   string   // id of an agent that is there at first; as long as it is the only one, any model_id is prepared
	NumberAuth  bool     // an INVITE for a number with trunk_username has to show its credentials
}

// Number is an imported number with its inbound agent.
type Number struct {
	Number  string // E.164, with +
	ModelID string // of its agent; a new one if empty
}

// ParseNumber reads "+15550100002" or "+15550100002=<model id>".
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
	// An id has the old form or is a UUID.
	modelID = regexp.MustCompile(`^([0-9]{13}x[0-9]{15,18}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})$`)
)

// Validate returns what is wrong with an account.
func (o Account) Validate() error {
	if !slices.Contains([]string{"", VoiceEngineAccept, VoiceEngineRequire, VoiceEngineRefuse}, o.VoiceEngine) {
		return fmt.Errorf("voice engine %q: want %s, %s or %s", o.VoiceEngine, VoiceEngineAccept, VoiceEngineRequire,
			VoiceEngineRefuse)
	}
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

// account holds numbers and agents in memory.
type account struct {
	opts Account

	mu      sync.Mutex                    // guards what follows
	numbers standin.Table[*accountNumber] // by slug
	agents  standin.Table[*accountAgent]  // by id
}

// accountNumber is an imported number.
type accountNumber struct {
	slug   string          // the number without its +
	fields standin.Object  // of its requests
	asks   *sim.Challenger // nil: an INVITE need not show credentials
}

func (n *accountNumber) number() string { return n.fields.Text("phone_number") }

// accountAgent is an agent with the fields of its requests.
type accountAgent struct {
	id     string
	fields standin.Object
}

const (
	agentInbound  = "inbound"
	agentOutbound = "outbound"
)

func (g *accountAgent) number() string { return g.fields.Text("phone_number") }

func newAgent(id, kind, name, number string) *accountAgent {
	return &accountAgent{id: id, fields: standin.Object{
		"type": kind, "name": name, "agent": map[string]any{},
		"phone_number": number,
	}}
}

func newAccount(o Account) *account {
	a := &account{opts: o}
	if id := o.DemoAgent; id != "" {
		a.agents.Put(id, newAgent(id, agentOutbound, "Demo", ""))
	}
	workspace := append(slices.Clone(o.Workspaces), "simulated")[0]
	for _, n := range o.Numbers {
		slug := bareNumber(n.Number)
		a.numbers.Put(slug, &accountNumber{
			slug:   slug,
			fields: standin.Object{"phone_number": n.Number, "workspace_id": workspace},
		})
		id := cmp.Or(n.ModelID, a.newModelID())
		a.agents.Put(id, newAgent(id, agentInbound, "Agent of "+n.Number, n.Number))
	}
	return a
}

func (a *account) newModelID() string {
	if a.opts.LegacyIDs {
		return fmt.Sprintf("%013dx%018d", time.Now().UnixMilli()%1e13, rand.Int64N(1e18))
	}
	return uuid.NewString()
}

// mayUse says whether the token allows a workspace.
func (a *account) mayUse(workspace string) bool {
	return len(a.opts.Workspaces) == 0 || slices.Contains(a.opts.Workspaces, workspace)
}

func bareNumber(s string) string { return strings.TrimPrefix(s, "+") }

// inboundAgent returns the agent that answers a number; the caller has the lock.
func (a *account) inboundAgent(number string) *accountAgent {
	for _, g := range a.agents.All() {
		if g.fields.Text("type") == agentInbound && g.number() != "" && bareNumber(g.number()) == bareNumber(number) {
			return g
		}
	}
	return nil
}

// dialled is what the account knows of a called number.
type dialled struct {
	strict   bool            // the account has numbers, so only those can be called
	imported bool            // the number is one of them
	asks     *sim.Challenger // nil: no credentials of its own
	agent    agentOfCall     // of the number
}

// agentOfCall is the part of an agent that its calls need.
type agentOfCall struct {
	id, greeting, webhook string // the URL of the webhook after the call
}

func (g *accountAgent) ofCall() agentOfCall {
	if g == nil {
		return agentOfCall{}
	}
	return agentOfCall{g.id, g.fields.Object("agent").Text("greeting_message"), g.fields.Text("external_webhook_url")}
}

func (a *account) dialled(number string) dialled {
	a.mu.Lock()
	defer a.mu.Unlock()
	d := dialled{strict: a.numbers.Len() > 0}
	if n := a.numbers.Get(bareNumber(number)); n != nil {
		d.imported, d.agent = true, a.inboundAgent(number).ofCall()
		if a.opts.NumberAuth {
			d.asks = n.asks
		}
	}
	return d
}

// agent returns an agent by its id.
func (a *account) agent(id string) (agentOfCall, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	g := a.agents.Get(id)
	return g.ofCall(), g != nil
}

// Numbers lists the numbers with their agents, in the order of their import.
func (p *Platform) Numbers() []Number {
	a := p.account
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []Number
	for _, n := range a.numbers.All() {
		all = append(all, Number{n.number(), a.inboundAgent(n.number()).ofCall().id})
	}
	return all
}
