package config

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"flowbridge/config/template"
)

// inClass matches a character class in an expression. separators matches the signs that people write between the digits
// of a number. separated matches a number with such signs.
var (
	inClass    = regexp.MustCompile(`\[[^\]]*\]`)
	separators = regexp.MustCompile(`[-/ ]|\\[.()-]`)
	separated  = regexp.MustCompile(`^\+?[0-9][0-9 ()./-]*[ ()./-][0-9 ()./-]*[0-9]$`)
)

// unmatched warns of expressions of routes that match no number of any trunk.
func (d *doubts) unmatched() {
	for i := range d.cfg.Routes {
		r, country := &d.cfg.Routes[i], []string{}
		for j := range d.cfg.Trunks {
			if t := &d.cfg.Trunks[j]; r.Target == "" && (t.Name == r.Trunk ||
				r.Trunk == "") && !slices.Contains(country, t.Country) {
				country = append(country, t.Country)
			}
		}
		for j, n := range []*Numbers{r.To, r.From} {
			path := fmt.Sprintf("routes[%d].%s", i, []string{"to", "from"}[j])
			switch {
			case n == nil || n.every:
			case separators.MatchString(inClass.ReplaceAllString(n.String(), "0")) && !namesSomebody(n):
				d.warnOf(path, "has signs between digits, and the numbers that it is compared with have none",
					"write it like "+sampleNumbers)
			case len(country) == 1 && misses(n, country[0]):
				d.warnOf(path, fmt.Sprintf(
					"matches no whole number: the trunk has country %q, so numbers begin with + and the country code", country[0]),
					"write it like "+sampleNumbers)
			}
		}
	}
}

// misses reports whether an expression over numbers as dialled in a country matches no number in E.164, the form in
// which numbers are compared. For an expression that also matches short numbers, which are not converted, this is
// certain only if it starts with three digits.
func misses(n *Numbers, country string) (lost bool) {
	text, _ := beginning(n)
	if strings.Trim(text, "0123456789") != "" {
		return false
	}
	for s := text; len(s) <= 15; s += "2" {
		switch whole := National(s, country); {
		case !n.Match(s):
		case whole != s && !n.Match(whole):
			lost = true
		case len(text) < 3:
			return false
		}
	}
	return lost
}

// The forms of Synthflow's ids: agents have either form, workspaces the older one.
var (
	idForm    = regexp.MustCompile(`(?i)^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	olderForm = regexp.MustCompile(`^[0-9]{10,}x[0-9]{10,}$`)
)

// accounts warns of values in a prepare step that do not have the form of Synthflow's API.
func (d *doubts) accounts() {
	for i := range d.cfg.Targets {
		p := d.cfg.Targets[i].Prepare
		if p == nil || d.cfg.Targets[i].Kind != KindSynthflow {
			continue
		}
		path := fmt.Sprintf("targets[%d].prepare.", i)
		model, fixed := p.ModelID.Constant()
		workspace, _ := p.WorkspaceID.Constant()
		api, _ := url.Parse(p.API) // it has been checked
		_, _, itsOwn := RegionOfHost(api.Hostname())
		switch {
		case !fixed || model == "" || model[0] == '$' || model == "MODEL_ID" || !itsOwn:
			// A stand-in has other ids. Still, check warns of $NAME and of a profile's placeholders.
		case IsDialString(model) || separated.MatchString(model):
			d.warnOf(path+"model_id", "is a number, and an agent is known by its id",
				"write the agent's id; the number goes into to_number")
		case model == workspace || idForm.MatchString(workspace):
			d.warnOf(path+"model_id", "seems to be the id of the workspace, and workspace_id that of the agent",
				"write each where it belongs")
		case !idForm.MatchString(model) && !olderForm.MatchString(model):
			d.warnOf(path+"model_id", "is not what ids look like: is it the agent's name?",
				`write the agent's id, like "1744274157255x646200691892837600"`)
		}
		for j, number := range []*template.Template{p.FromNumber, p.ToNumber} {
			if separated.MatchString(number.String()) {
				d.warnOf(path+[]string{"from_number", "to_number"}[j], "has signs between its digits",
					`write digits only, like "+15075550100"`)
			}
		}
	}
}

// public reports whether a target is called outside of this network, or by a name that may lead there, and the host.
func (t *Target) public() (host string, is bool) {
	uri, err := t.URI.Render(t.SampleVars())
	host, _ = HostPort(uri)
	return host, err == nil && host != "" && !nearby(host)
}

// loopback warns of an address for peers that only this machine reaches.
func (d *doubts) loopback() {
	for i := range d.cfg.Targets {
		host, is := d.cfg.Targets[i].public()
		for key, at := range map[string]string{
			"sip.advertise": d.cfg.SIP.Advertise, "media.advertise": d.cfg.Media.Advertise,
		} {
			if is && loopbackHost(at) {
				d.warnOf(key, fmt.Sprintf("is this machine only, and target %s is called at %s: it can send nothing back",
					d.cfg.Targets[i].Name, host), "write the address at which peers reach this machine, or auto")
			}
		}
		if is {
			break
		}
	}
}

// platforms warns of APIs and URIs that a platform does not have.
func (d *doubts) platforms() {
	for i := range d.cfg.Targets {
		t, path := &d.cfg.Targets[i], fmt.Sprintf("targets[%d].", i)
		ownAPI := true
		for key, api := range t.apis() {
			u, err := url.Parse(*api)
			if err != nil {
				continue
			}
			_, _, own := RegionOfHost(u.Hostname())
			ownAPI = ownAPI && own
			if at := strings.Trim(u.Path, "/"); at != "" && (own || at == "v2" || strings.HasPrefix(at, "v2/")) {
				d.warnOf(path+key+".api", "has a path, and requests go below it: to "+u.Path+"/…",
					`write scheme and host only, like "https://`+u.Host+`"`)
			}
		}
		host, is := t.public()
		if _, _, own := RegionOfHost(host); t.Kind == KindSynthflow && is && !own && ownAPI {
			d.warn(path+"uri", "has another host than Synthflow's, and its calls would go there",
				"leave uri out for Synthflow's own, or write kind: sip")
		}
		user, _, _ := strings.Cut(strings.TrimPrefix(t.URI.String(), "sip:"), "@")
		if t.Kind == KindVapi && idForm.MatchString(user) {
			d.warn(path+"uri", "has an id as its user: Vapi knows a number by its SIP name, not by the id of an assistant or a number",
				`write the name, like "sip:my-agent@sip.vapi.ai"; flowbridge vapi number show ID has it in sipUri`)
		}
	}
	if m := &d.cfg.Media; m.Timeout >= time.Hour {
		d.warnOf("media.timeout", "lets a call go on without RTP for as long, and its trunk pays for it",
			"write how long a call without any sound may last, like 30s")
	}
}

// fixedZones maps names of time zones without summer time to places in those zones that have it.
var fixedZones = map[string]string{"EST": "America/New_York", "MST": "America/Denver"}

// times warns of hours, time-outs and rescues of routes that do not do what they seem to do.
func (d *doubts) times() {
	for i := range d.cfg.Routes {
		r, path := &d.cfg.Routes[i], fmt.Sprintf("routes[%d]", i)
		if r.Hours != nil && fixedZones[r.Hours.Zone.String()] != "" {
			d.warnOf(path+".hours.zone", "has no summer time",
				"write "+fixedZones[r.Hours.Zone.String()]+", or a place's name without summer time, like America/Phoenix")
		}
		if x := r.Rescue; x != nil && len(r.Targets) == 1 && len(x.Targets) == 1 && x.Targets[0] == r.Targets[0] &&
			len(x.Trunks) == 0 {
			d.warn(path+".rescue.targets", "has the route's own target only: the agent that has just failed is called again",
				"name another target, or trunks and to")
		}
		if x := r.Rescue; x != nil && x.DeadAir > 0 && d.cfg.Media.Insight != InsightOn {
			d.warn(path+".rescue.dead_air", "does nothing: what both sides say is not measured", "write insight: on in media")
		}
		if f := r.Follow; f != nil && (f.AnswerP95 > 0 || f.DeadAir > 0) && d.cfg.Media.Insight != InsightOn {
			d.warn(path+".follow", "moves no weights: what both sides say is not measured", "write insight: on in media")
		}
		for j := range d.cfg.Targets {
			t := &d.cfg.Targets[j]
			if t.Prepare != nil && r.SetupTimeout < t.Prepare.Timeout && slices.Contains(r.Targets, t.Name) {
				d.warn(path+".setup_timeout",
					fmt.Sprintf("is shorter than prepare.timeout of target %s, %v: the call can end before it is sent", t.Name,
						t.Prepare.Timeout),
					"write a longer setup_timeout, or a shorter prepare.timeout")
			}
		}
	}
}

// variables warns of environment names without braces. It does not show the text around them, which may be a secret.
func (d *doubts) variables() {
	for _, s := range d.root.l.bare {
		d.warn(s.path, "has a $ and a name without braces, which stay as they are",
			"write ${NAME} for what the variable NAME contains")
	}
	// Some values are read twice.
	d.all = slices.CompactFunc(d.all, func(a, b Error) bool { return a.Path == b.Path && a.Problem == b.Problem })
}

// bots warns of bots that are to end calls over HTTP if hooks.listen is missing.
func (d *doubts) bots() {
	for i := range d.cfg.Targets {
		if t := d.cfg.Targets[i].Twilio; t != nil && t.Signs && !d.cfg.Hooks.Listen.IsValid() {
			d.warn(fmt.Sprintf("targets[%d].twilio.auth_token_file", i),
				"lets no bot end calls over HTTP, because nothing listens: it only signs",
				`write hooks: {listen: "127.0.0.1:8081"} if the bot ends calls so`)
		}
	}
}
