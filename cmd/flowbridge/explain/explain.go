package explain

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"flowbridge/b2bua"
	"flowbridge/b2bua/cause"
	"flowbridge/b2bua/peers"
	"flowbridge/b2bua/report"
	"flowbridge/cmd/flowbridge/cli"
	"flowbridge/cmd/flowbridge/node"
	"flowbridge/config"
	"flowbridge/config/template"
)

// Command returns the command `flowbridge explain`.
func Command() *cobra.Command {
	c := cli.Command("explain", "Show what a call would do and send, without sending it",
		"Show what a call from one number to another would do: its trunk and route, each target in order with the\n"+
			"request to the platform's API and the INVITE, and what happens when a target fails. Nothing is sent, and\n"+
			"no name is looked up; the platform's call id is a made-up one. The exit code is 1 if the call reaches no target.",
		"  flowbridge explain --from +15075550100 --to +15075785607\n"+
			"  flowbridge explain --source 203.0.113.7 --from 5550100 --to 5785607 --header 'Diversion: <sip:+15075550111@x>'\n"+
			"  flowbridge explain --target synthflow --from +15075550100 --to +15075785607\n"+
			"  flowbridge explain --trunk carrier --from '\"Ann\" <sip:+15075550100@pbx>' --to +15075785607 --json")
	file := cli.ConfigFlag(c)
	var q report.Question
	f := c.Flags()
	f.StringVar(&q.From, "from", "", "the caller: number, SIP URI or From value")
	f.StringVar(&q.To, "to", "", "the called party: number or SIP URI")
	f.StringArrayVar(&q.Headers, "header", nil, "a further header of the caller's INVITE, 'Name: value'; may be repeated")
	f.StringVar(&q.Trunk, "trunk", "", "the trunk that the call comes from (default the only one)")
	f.StringVar(&q.Target, "target", "", "the target that places the call, instead of a trunk")
	source := f.String("source", "", "the IP address that it comes from")
	at := f.String("at", "",
		"when it comes, for routes with hours: a time (UTC, or with an offset as 2026-12-24T19:00:00+01:00), or how long ago (default now)")
	asJSON := f.Bool("json", false, "as JSON")
	cli.CompleteNames(c, "trunk", "trunks", file)
	cli.CompleteNames(c, "target", "targets", file)
	c.RunE = func(c *cobra.Command, _ []string) error {
		if q.From == "" || q.To == "" {
			return cli.Usage("--from and --to are needed (see %s --help)", c.CommandPath())
		}
		if *source != "" {
			addr, err := netip.ParseAddr(*source)
			if err != nil {
				return cli.Usage("--source %q: write an IP address", *source)
			}
			q.Source = addr.Unmap()
		}
		var err error
		if q.At, err = cli.Moment("at", *at); err != nil {
			return err
		}
		cfg, err := config.LoadWithoutSecrets(*file)
		if err != nil {
			return err
		}
		return explain(c.OutOrStdout(), cfg, q, *asJSON)
	}
	return c
}

func explain(w io.Writer, cfg *config.Config, q report.Question, asJSON bool) error {
	asked := &unsentAPI{}
	clients := map[string]peers.Preparer{}
	for i := range cfg.Targets {
		t := &cfg.Targets[i]
		if t.Requests() {
			client, err := node.NewPreparer(t, asked.of(t))
			if err != nil {
				return err
			}
			clients[t.Name] = client
		}
		if t.Kind == config.KindWebsocket {
			clients[t.Name] = &unsentBot{asked, t, clients[t.Name]}
		}
	}
	found := cfg.FindsAddress()
	_ = cfg.FindAddress(func(string) (netip.Addr, error) { return unfound, nil })
	x, err := b2bua.Explain(cfg, clients, q)
	if errors.Is(err, report.ErrQuestion) {
		return cli.Usage("%w", err)
	}
	if err != nil {
		return err
	}
	if found {
		x.Note("advertise: the public address is not asked for here: %v stands for it", unfound)
	}
	full := explained{Explanation: x, Prepare: asked.requests, asked: !q.At.IsZero()}
	if asJSON {
		err = cli.PrintJSON(w, full)
	} else {
		_, err = io.WriteString(w, full.text())
	}
	switch {
	case err != nil:
		return err
	case x.Refused && x.Status == 0:
		return fmt.Errorf("the call gets no answer: %s", x.Why)
	case x.Refused:
		return fmt.Errorf("the call is refused with %s", full.answer())
	case !slices.ContainsFunc(x.Targets, func(t report.Target) bool { return t.Cause == cause.None }):
		return fmt.Errorf("no target can be called: the caller gets %d", x.Otherwise)
	}
	return nil
}

// unfound replaces the public address that advertise: auto would find.
var unfound = netip.MustParseAddr("192.0.2.1")

// sampleID stands for the platform's call id.
const sampleID = "00000000-0000-4000-8000-000000000000"

// unsentAPI records the requests to platforms' APIs and answers them with sampleID.
type unsentAPI struct{ requests map[string]apiRequest } // by target

// apiRequest is a request as it would be sent.
type apiRequest struct {
	Method  string          `json:"method"`
	URL     string          `json:"url"`
	Headers []string        `json:"headers"` // the token is hidden
	Body    json.RawMessage `json:"body,omitempty"`

	Messages []string    `json:"messages,omitempty"` // the first that a bot gets on its socket
	First    *apiRequest `json:"first,omitempty"`    // what is asked before a bot's socket is opened
}

func (u *unsentAPI) of(t *config.Target) http.RoundTripper {
	return roundTrip(func(r *http.Request) (*http.Response, error) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		p := t.Prepare
		if u.requests == nil {
			u.requests = map[string]apiRequest{}
		}
		u.requests[t.Name] = shown(r, body, p)
		return &http.Response{
			StatusCode: http.StatusOK, Status: "200 OK", Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"Content-Type": {"application/json"}},
			Body:   io.NopCloser(bytes.NewReader(p.Sample(sampleID))),
		}, nil
	})
}

// shown returns a request without its secrets.
func shown(r *http.Request, body []byte, p *config.Prepare) apiRequest {
	req := apiRequest{
		Method: r.Method, URL: redacted(r.URL.String(), p),
		Body: json.RawMessage(redacted(string(body), p)),
	}
	for name, values := range r.Header {
		for _, v := range values {
			req.Headers = append(req.Headers, name+": "+redacted(v, p))
		}
	}
	slices.Sort(req.Headers)
	return req
}

// shortestSecret is the minimum length of an environment value that counts as a secret. A shorter value would be
// hidden everywhere.
const shortestSecret = 4

// redacted returns a part of a request without its token and without values from the environment.
func redacted(text string, p *config.Prepare) string {
	secrets := p.FromEnvironment()
	if p.Token != "" {
		secrets = append(secrets, p.Token.Reveal())
	}
	slices.SortFunc(secrets, func(a, b string) int { return len(b) - len(a) }) // one secret may contain another
	var pairs []string
	for _, secret := range secrets {
		if len(secret) < shortestSecret && secret != p.Token.Reveal() {
			continue
		}
		for _, form := range []string{secret, inJSON(secret), url.PathEscape(secret), url.QueryEscape(secret)} {
			pairs = append(pairs, form, p.Token.String())
		}
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

// inJSON returns a text in the form in which the API's client writes it inside a JSON string.
func inJSON(text string) string {
	var b strings.Builder
	if err := cli.PrintJSON(&b, text); err != nil {
		return text
	}
	return strings.TrimSuffix(strings.TrimPrefix(b.String(), `"`), "\"\n")
}

type roundTrip func(*http.Request) (*http.Response, error)

// RoundTrip calls the function.
func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// explained is the explanation together with the requests to APIs.
type explained struct {
	report.Explanation
	Prepare map[string]apiRequest `json:"prepare"` // by target

	asked bool // the user asked about a certain time
}

// text formats the explanation for people.
func (x *explained) text() string {
	var b strings.Builder
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-10s %s\n", name, fmt.Sprintf(format, args...))
	}
	x.call(row)
	if x.Refused {
		if x.Status != 0 {
			row("answer", "%s", x.answer())
		} else {
			row("answer", "none: %s", x.Why)
		}
		return b.String()
	}
	x.route(row)
	for i := range x.Targets {
		x.attempt(&b, i)
	}
	fmt.Fprintf(&b, "\n%-10s %d when no target took the call\n", "otherwise", x.Otherwise)
	for _, n := range x.Notes {
		row("note", "%s", n)
	}
	return b.String()
}

// call writes the two numbers of the call and the matching route.
func (x *explained) call(row func(name, format string, args ...any)) {
	switch {
	case x.Target != "":
		row("target", "%s, from %v", x.Target, x.Source)
	case x.Trunk == "":
		row("trunk", "none, from %v", x.Source)
	default:
		row("trunk", "%s, from %v%s", x.Trunk, x.Source, caps(x.MaxCalls, x.MaxCPS))
	}
	if x.To.URI != "" {
		row("from", "%s", party(x.From))
		row("to", "%s", party(x.To))
	}
	if x.asked {
		row("at", "%s", x.At.Format("Mon "+time.RFC3339))
	}
	if x.Diversion != "" {
		row("diversion", "%s", x.Diversion)
	}
	if id := x.Identity; id != nil {
		row("identity", "%s", id.Result)
	}
	if words := rowWords(x.Row); words != "" {
		row("table", "%s", words)
	}
	for _, r := range x.Routes {
		if r.Matches {
			row("route", "%s: %s", r.Route, r.Why)
		} else {
			row("not", "%s: %s", r.Route, r.Why)
		}
	}
}

// route writes how the route handles the call.
func (x *explained) route(row func(name, format string, args ...any)) {
	if x.Direction == template.DirectionOutbound && x.Target == "" {
		row("direction", "outbound: %s was called, and is the lead", x.Lead)
	}
	if s := x.Split; s != nil {
		row("split", "target %s has this caller, by %d of %d", s.Target, s.Weight, s.Of)
	}
	row("ringing", "%s", ringingWords[x.Ringing])
	x.Unusual(func(key, value string) { row(key, "%s", value) })
	row("set-up", "ends after %v in all; an answered call after %v", ms(x.SetupTimeoutMS), ms(x.MaxDurationMS))
	row("reserved", "%s in set-up and %d with ports, whatever other callers have", cli.Count(x.Reserved.Setups, "call"),
		x.Reserved.Calls)
	if l := limits(x.Limits); l != "" {
		row("limits", "%s", l)
	}
}

// answer returns the final answer of a refused call. It adds the reason if the answer does not have it.
func (x *explained) answer() string {
	s := strconv.Itoa(x.Status) + " " + x.Reason
	if x.Why != "" {
		s += ": " + x.Why
	}
	return s
}

var ringingWords = map[string]string{
	config.RingingImmediate:       "immediate: 180 before a target is asked",
	config.RingingOnTarget:        "on-target: the target's own 18x",
	config.RingingNone:            "none: no 180; early media is passed on",
	config.RingingSessionProgress: "session-progress: 183 and ringing of ours, until the target is heard",
}

func party(p report.Party) string {
	s := cmp.Or(p.Number, "(none)")
	if p.Name != "" {
		s += " " + strconv.Quote(p.Name)
	}
	return s + " (" + p.URI + ")"
}

func ms(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

// attempt writes the attempt at the target with this index.
func (x *explained) attempt(b *strings.Builder, i int) {
	t := &x.Targets[i]
	next := "the caller gets " + strconv.Itoa(x.Otherwise)
	if i+1 < len(x.Targets) {
		next = "next target: " + x.Targets[i+1].Target
	}
	fmt.Fprintf(b, "\nattempt %d: %s, kind %s, over %s%s\n", i+1, t.Target, t.Kind, t.Transport,
		caps(t.MaxCalls, t.MaxCPS))
	x.request(b, t, next)
	if t.Cause != cause.None {
		fmt.Fprintf(b, "\n  fails with cause %s: %s; %s\n", t.Cause, t.Error, next)
		return
	}
	b.WriteByte('\n')
	indented(b, t.Invite)
	b.WriteByte('\n')
	indented(b, strings.Split(strings.TrimSpace(t.Body), "\r\n"))
	if len(t.LeftOut) > 0 {
		fmt.Fprintf(b, "\n  left out, having no value for this call: %s\n", strings.Join(t.LeftOut, ", "))
	}
	if len(t.Dropped) > 0 {
		fmt.Fprintf(b, "\n  dropped, because they can't be passed on or don't fit into the budget: %s\n",
			strings.Join(t.Dropped, ", "))
	}
	if size := sizeWords(t); size != "" {
		fmt.Fprintf(b, "\n  %s\n", size)
	}
	again := ""
	for _, code := range x.FailoverOn {
		again += " " + strconv.Itoa(code)
	}
	if again != "" {
		again = ", and by failover_on" + again
	}
	fmt.Fprintf(b, "\n  codecs %s, of those that the caller offers\n", strings.Join(t.Codecs, ", "))
	if t.Transcodes != "" {
		fmt.Fprintf(b, "  a caller with none of them is transcoded: %s\n", t.Transcodes)
	}
	if media := mediaWords(t); media != "" {
		fmt.Fprintf(b, "  media: %s\n", media)
	}
	fmt.Fprintf(b, "  nothing heard for %v, or no final answer within %v: %s\n", ms(t.FirstResponseTimeoutMS),
		ms(t.RingTimeoutMS), next)
	if t.Username != "" {
		fmt.Fprintf(b, "  a challenge is answered with the credentials of %s\n", t.Username)
	}
	fmt.Fprintf(b, "  3xx, 401, 407, 408, 5xx, 6xx but 600, 603, 607, 608%s: %s\n", again, next)
	fmt.Fprintf(b, "  any other refusal: the caller gets it as it is\n")
}

// request writes what the platform or the bot of an attempt is asked before the INVITE.
func (x *explained) request(b *strings.Builder, t *report.Target, next string) {
	req, ok := x.Prepare[t.Target]
	if !ok {
		return
	}
	if req.First != nil {
		req.First.write(b, t, next)
	}
	req.write(b, t, next)
}

// write writes a request to the platform of an attempt, or to its bot.
func (req *apiRequest) write(b *strings.Builder, t *report.Target, next string) {
	fmt.Fprintf(b, "\n  %s %s\n", req.Method, req.URL)
	indented(b, req.Headers)
	if len(req.Body) > 0 {
		fmt.Fprintf(b, "\n    %s\n", req.Body)
	}
	if len(req.Messages) > 0 {
		b.WriteString("\n  and on the socket\n\n")
		indented(b, req.Messages)
		b.WriteString("\n  no WebSocket, no 101, or a bot that can't be reached: " + next + "\n" +
			"  the gateway on this machine, which opens the socket, is called by this INVITE\n")
	}
	failed := next
	if t.OnFailure == config.OnFailureDial {
		failed = "this target is dialled without an id, and without the headers that need it"
	}
	if len(req.Messages) == 0 {
		fmt.Fprintf(b, "\n  success: %s\n  no success within %v, retry included: %s\n", t.PrepareSuccess,
			ms(t.PrepareTimeoutMS), failed)
	}
}

func indented(b *strings.Builder, lines []string) {
	for _, l := range lines {
		b.WriteString("    " + l + "\n")
	}
}
