package config

import (
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"flowbridge/media/audio"
)

// kind says how a single value is written: it has the value's parser and its schema.
type kind struct {
	// parse returns the parser for one value, or for all elements of one list.
	parse func(s section) func(text string) (any, complaint)
	title string // the kind's name in the schema and the reference
	// pattern matches every valid text. It may also match texts that the parser refuses.
	pattern   string
	enum      []string // the allowed values
	anyCase   bool     // enum values may be written in upper or lower case
	types     []string // the JSON types that it may be written as; nil means a string
	low, high int      // the bounds of a whole number
}

// parsed returns the parser of a kind that needs only the text.
func parsed[T any](parse func(string) (T, complaint)) func(section) func(string) (any, complaint) {
	return func(section) func(string) (any, complaint) {
		return func(t string) (any, complaint) { got, c := parse(t); return got, c }
	}
}

// known returns the parser of a kind that depends on other parts of the file.
func known(parse func(l *loader, text string) (string, complaint)) func(section) func(string) (any, complaint) {
	return func(s section) func(string) (any, complaint) {
		return func(t string) (any, complaint) { got, c := parse(s.l, t); return got, c }
	}
}

const (
	boolType      = "true or false"
	integerType   = "integer"
	durationUnits = `([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)`
	durationText  = `^([0-9]{1,5}d)?\+?(` + durationUnits + `)+$|^[0-9]{1,5}d$`
	nameText      = `^[A-Za-z0-9][A-Za-z0-9._-]*$`
	hostText      = `^[A-Za-z0-9_.:\[\]%-]*$`
)

// The JSON types of values that may also be written as a string.
var (
	boolean   = []string{"boolean", "string"}
	number    = []string{"string", "integer"}
	anyScalar = []string{"string", "number", "boolean"}
)

// textOf returns a kind that is written as a string.
func textOf[T any](title, pattern string, parse func(string) (T, complaint)) kind {
	return kind{parse: parsed(parse), title: title, pattern: pattern}
}

// scalarOf returns a kind whose text may look like a number or a boolean to YAML.
func scalarOf[T any](title, pattern string, parse func(string) (T, complaint)) kind {
	return kind{parse: parsed(parse), title: title, pattern: pattern, types: anyScalar}
}

// hostName returns the kind of host names and addresses.
func hostName[T any](parse func(string) (T, complaint)) kind {
	return scalarOf("host name or address", hostText, parse)
}

// orZero returns the kind of durations that may be 0, which means none.
func orZero(parse func(string) (time.Duration, complaint)) kind {
	return kind{
		title: "duration or 0", pattern: `^0$|` + durationText, types: number,
		parse: parsed(func(t string) (time.Duration, complaint) {
			if isZero(t) {
				return 0, complaint{}
			}
			return parse(t)
		}),
	}
}

// orNone also accepts an empty text, which means none.
func orNone[T any](parse func(string) (T, complaint)) func(string) (T, complaint) {
	return func(t string) (none T, c complaint) {
		if t == "" {
			return none, c
		}
		return parse(t)
	}
}

// matching accepts a text that passes a test.
func matching(passes func(string) bool, problem, remedy string) func(string) (string, complaint) {
	return func(t string) (string, complaint) {
		if !passes(t) {
			return "", refuse(problem, remedy)
		}
		return t, complaint{}
	}
}

// kinds holds the kinds of values that are not defined by bounds or an enum. The key is the Go type, or the tag `is`.
var kinds = map[string]kind{
	"string":          scalarOf("text", "", parseText),
	"bool":            {parse: parsed(parseBool), title: boolType, types: boolean},
	"time.Duration":   textOf("duration", durationText, parseDuration),
	"netip.AddrPort":  textOf("address:port", `^.+:[0-9]+$|^$`, parseAddrPort),
	"netip.Prefix":    textOf("network", `^[0-9A-Fa-f.:]+(/[0-9]+)?$`, parsePrefix),
	"config.Source":   textOf("network or local", `^[0-9A-Fa-f.:]+(/[0-9]+)?$|^local$`, parseSource),
	"*config.Numbers": scalarOf("regular expression", "", parseRegexp),
	"config.Listener": {
		parse: uniqueListeners, title: "transport://address:port",
		pattern: `^(udp|tcp|tls)://.+:[0-9]+$`,
	},
	"config.Challenges":   textOf("http:// or tls://address:port", `^(http|tls)://.+:[0-9]+$`, parseChallenges),
	"config.AdminAddress": textOf("address:port or unix://path", `^.+:[0-9]+$|^unix:///.+$`, parseAdminAddress),
	"*config.Table":       {title: "file", types: anyScalar},
	"*template.Template":  {title: "template", types: anyScalar},
	"*template.URL":       {title: "URL with templates", pattern: `^[Hh][Tt][Tt][Pp][Ss]?://.+`},
	"config.Secret":       {title: "file"},
	"media-listener": {
		parse: uniqueAddresses, title: "address or address=advertised address",
		pattern: `^ *[0-9A-Fa-f.:]+ *(= *[0-9A-Fa-f.:]+ *)?$`,
	},
	"media-address":  {parse: mediaAddress, title: "address", pattern: `^[0-9A-Fa-f.:]*$`},
	"advertise":      textOf("address, or auto", `^[0-9A-Fa-f.:]*$|^auto$|^stun:.+$`, orNone(parseAdvertise)),
	"advertise-host": scalarOf("address or host name, or auto", hostText, orNone(parseAdvertiseHost)),
	"node-name": textOf("text", `^([A-Za-z0-9][A-Za-z0-9._-]{0,62})?$`,
		orNone(matching(nodeName.MatchString, "is not a name for a node",
			"write up to 63 letters, digits, dots, hyphens or underscores, like edge-1"))),
	"acme-domain": scalarOf("host name", hostText, parseACMEDomain),
	"account-sid": scalarOf("id of an account at Twilio", accountSID.String(),
		matching(accountSID.MatchString, "is not the id of an account at Twilio", "write AC and 32 hexadecimal digits")),
	"algorithm": words(true, "is not an algorithm that trunks can be asked for", "write SHA-256 or MD5",
		"SHA-256", "MD5"),
	"accept-within": within(time.Second, time.Minute, false),
	"answer-p95":    within(100*time.Millisecond, 30*time.Second, true),
	"api":           textOf("URL", `^[Hh][Tt][Tt][Pp][Ss]?://.+|^$`, parseAPI),
	"base-url":      textOf("URL", `^[Hh][Tt][Tt][Pp][Ss]?://.+|^$`, orNone(parseBase)),
	"dead-air":      orZero(parseDeadAir),
	"beep":          within(time.Second, time.Hour, true),
	"callee":        {parse: known((*loader).callee), title: "name of a trunk", pattern: nameText, types: anyScalar},
	"caller": {
		parse: known((*loader).caller), title: "name of a target", pattern: nameText + "|^$",
		types: anyScalar,
	},
	"certificate-host": scalarOf("host, or host:port", hostText+`|^\*\.`, parseCertificateHost),
	"certificate-name": hostName(parseCertName),
	"codec": words(true, "is not an audio codec", "", "PCMU", "PCMA", "G722", "G729", "opus", "GSM", "iLBC",
		"speex", "L16", "AMR", "AMR-WB", "EVS"),
	"collector": textOf("URL", `^[Hh][Tt][Tt][Pp][Ss]?://.+|^$`, orNone(parseCollector)),
	"country": {
		parse: parsed(orNone(matching(countryNum.MatchString, "is not a country calling code",
			`write its digits without +, like "1" or "49"`))), title: "country calling code", pattern: `^([1-9][0-9]{0,2})?$`,
		types: number, low: 1, high: 999,
	},
	"dialled": scalarOf("number", `^(\+?[0-9*#]+)?$`, parseDialled),
	"directory": scalarOf("directory", `.`,
		matching(isPath, "is not a directory", "write one like /var/lib/flowbridge/recordings")),
	"domain": hostName(orNone(hostOrAddress("write the host of the Request-URI, without sip: and port"))),
	"dscp": {
		parse: parsed(parseDSCP), title: "DSCP",
		pattern: `^[0-9]+$|` + caseless(slices.Sorted(maps.Keys(dscpNames))), types: number, high: 63,
	},
	"file":   scalarOf("file", "", parseText),
	"format": words(false, "is not a format of recordings", "write wav or pcapng, or both", "wav", "pcapng"),
	"header": textOf("header", `^$|.:`, orNone(parseHeaderLine)),
	"header-name": scalarOf("header name", "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$",
		matching(httpToken.MatchString, "is not the name of a header", "write one like Authorization or x-api-key")),
	"header-pattern": scalarOf("header, or beginning of a name and *", "^[A-Za-z0-9.!%_+`'~-]+\\*?$", parseHeaderPattern),
	"hep-server":     textOf("transport://host:port", `^(udp|tcp)://.+:[0-9]+$|^$`, orNone(parseHEPServer)),
	"hold": {
		parse: known(func(l *loader, t string) (string, complaint) { return l.sound(t, HoldNone) }),
		title: "tone or name of a sound", pattern: nameText,
	},
	"host":              hostName(parseTransferHost),
	"host-port":         scalarOf("host, or host:port", hostText, parseHostPort),
	"host-port-or-none": scalarOf("host, or host:port", hostText, orNone(parseHostPort)),
	"identity-status": {
		parse: parsed(parseIdentityStatus), title: "SIP status", pattern: `^(403|428|436|437|438)$`,
		types: number, low: 403, high: 438,
	},
	"keep-alive":     within(leastKeepAlive, time.Hour, true),
	"kind":           {parse: parsed(parseKind), title: "kind", enum: targetKinds()},
	"number-pattern": scalarOf("regular expression", ".", parseNumberPattern),
	"opening": textOf("days and time of the day",
		`^([A-Za-z,-]+ +)?[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}$`, parseOpening),
	"passed-name": scalarOf("header name", "^[A-Za-z0-9.!%_+`'~-]*$", orNone(parsePassedName)),
	"phone-keys": scalarOf("keys of a phone", phoneKeys.String()+"|^$",
		orNone(matching(phoneKeys.MatchString, "are not keys of a phone", `write up to 64 like "123#"`))),
	"ports": {title: "port-port", pattern: `^ *[0-9]+ *- *[0-9]+ *$`},
	"register-user": scalarOf("user of a SIP URI", `^[A-Za-z0-9_.!~*'()&=+$,;?/%:-]*$`,
		orNone(matching(isRegisterUser, "cannot be the user of a SIP URI",
			"write what stands before the @ of the address, like 12065551234 or acme"))),
	"route-name":  ownName("route", func(l *loader) map[string]bool { return l.routes }),
	"test-header": textOf("header", `^.+:`, parseTestHeader),
	"transcriber": scalarOf("command or URL", "", orNone(parseTranscriber)),
	"noise":       scalarOf("noise", `^$|^[a-z]+ [0-9]+dB$`, orNone(parseNoise)),
	"step-time":   within(time.Millisecond, stepTimeMax, false),
	"recipient":   textOf("public key of age", `^age1[0-9a-z]+$`, parseRecipient),
	"dtmf-key": scalarOf("key", `^[0-9*#A-D]$`, matching(
		func(t string) bool { return len(t) == 1 && strings.Contains("0123456789*#ABCD", t) },
		"is not a key", "write one of 0 to 9, *, # and A to D")),
	"unaccepted": words(false, "is neither hangup nor continue nor a route", "write hangup, continue or {route: NAME}",
		unacceptedHangup, unacceptedContinue),
	"server-name": hostName(orNone(parseCertName)),
	"json-path":   scalarOf("JSON path", "", parseJSONPath),
	"ladders": {
		parse: parsed(parseLadders), title: "duration", pattern: `^0$|^[Oo][Ff][Ff]$|` + durationText,
		types: number,
	},
	"socket-url": {title: "URL of a WebSocket with templates", pattern: `^[Ww][Ss][Ss]?://.+`},
	"sound": {
		parse: known(func(l *loader, t string) (string, complaint) { return l.sound(t) }),
		title: "tone or name of a sound", pattern: nameText,
	},
	"store-path": scalarOf("file", ".", parseStorePath),
	"suite":      words(false, "is not an SRTP crypto suite that is known here", "", SRTPSuites()...),
	"target": {
		parse: known((*loader).targetName), title: "name of a target", pattern: nameText,
		types: anyScalar,
	},
	"ping-interval": within(5*time.Second, time.Hour, true),
	"share":         textOf("percentage", `^([0-9]+(\.[0-9]+)?%)?$`, orNone(parseShare)),
	"target-name":   ownName("target", func(l *loader) map[string]bool { return l.targets }),
	"timer-or-0":    orZero(parseTimer),
	"token-name":    scalarOf("name", nameText, parseName),
	"trunk": {
		parse: known((*loader).trunkName), title: "name of a trunk", pattern: nameText + "|^$",
		types: anyScalar,
	},
	"trunk-name": ownName("trunk", func(l *loader) map[string]bool { return l.trunks }),
	"twiml":      scalarOf("TwiML", `^$|<Response`, orNone(parseTwiML)),
	"username": scalarOf("text", `^[^"\\\x00-\x1f\x7f]*$`, matching(isUsername, "cannot be a digest user",
		"use up to 128 characters, and no quotes, backslashes or control characters")),
	"webhook-name":     ownName("webhook", func(l *loader) map[string]bool { return l.webhooks }),
	"webhook-url":      textOf("URL", `^[Hh][Tt][Tt][Pp][Ss]?://.+`, parseWebhookURL),
	"zone":             textOf("time zone", `^[A-Za-z0-9_+/-]+$`, parseZone),
	"environment-name": {title: "environment variable", pattern: `^[A-Za-z_][A-Za-z0-9_]*$|^$`},
}

// parseText accepts any text except a template, because the template would be taken literally.
func parseText(t string) (string, complaint) {
	if strings.Contains(t, "{{") {
		return "", refuse("holds a template, and this key is the same for every call", "write the text itself")
	}
	return t, complaint{}
}

func parseBool(t string) (bool, complaint) {
	if t != "true" && t != "false" {
		remedy := "write true or false"
		switch strings.ToLower(t) {
		case "yes", "on", "true", "1":
			remedy = "write true"
		case "no", "off", "false", "0":
			remedy = "write false"
		}
		return false, refuse("is neither true nor false", remedy)
	}
	return t == "true", complaint{}
}

// integer returns the kind of whole numbers within bounds.
func integer(low, high int) kind {
	return kind{
		title: integerType, types: []string{"integer", "string"}, low: low, high: high,
		parse: parsed(func(t string) (int, complaint) {
			n, err := strconv.Atoi(t)
			if err != nil || n < low || n > high {
				return 0, refuse("is not a whole number from "+strconv.Itoa(low)+" to "+strconv.Itoa(high), "write one")
			}
			return n, complaint{}
		}),
	}
}

// words returns the kind for a fixed list of values. If remedy is empty, the remedy names all of them.
func words(anyCase bool, problem, remedy string, enum ...string) kind {
	if remedy == "" {
		remedy = "write one of " + strings.Join(enum, ", ")
	}
	return kind{enum: enum, anyCase: anyCase, parse: parsed(func(t string) (string, complaint) {
		for _, known := range enum {
			if t == known || anyCase && strings.EqualFold(t, known) {
				return known, complaint{}
			}
		}
		return "", refuse(problem, meant(t, enum, remedy))
	})}
}

// ownName returns the kind of names that must be unique in a list.
func ownName(what string, names func(*loader) map[string]bool) kind {
	return kind{title: "name", pattern: nameText, types: anyScalar, parse: known(
		func(l *loader, t string) (string, complaint) {
			got, c := parseName(t)
			switch {
			case !c.none():
				return "", c
			case names(l)[got]:
				l.twice[what+"s"]++
				return "", refuse("is the name of another "+what+" already", "give each "+what+" its own name")
			}
			names(l)[got] = true
			return got, complaint{}
		})}
}

// namesOf returns names in order.
func namesOf(all map[string]bool) []string { return slices.Sorted(maps.Keys(all)) }

// oneOf refuses a text that is not a name in a list. list is trunks or targets.
func (l *loader) oneOf(list string, names map[string]bool, t string) complaint {
	if names[t] || l.unsure(list, names) {
		return complaint{}
	}
	return refuse("is not the name of a "+strings.TrimSuffix(list, "s"),
		meant(t, namesOf(names), "add it to "+list+", or correct the name"))
}

// trunkName accepts the name of a trunk, or an empty text.
func (l *loader) trunkName(t string) (string, complaint) {
	if t == "" {
		return "", complaint{}
	}
	return t, l.oneOf("trunks", l.trunks, t)
}

// targetName accepts the name of a target.
func (l *loader) targetName(t string) (string, complaint) { return t, l.oneOf("targets", l.targets, t) }

// callee accepts the name of a trunk that calls can be placed to.
func (l *loader) callee(t string) (string, complaint) {
	if l.trunks[t] && !l.callees[t] {
		return "", refuse("is a trunk without uri, which no call can be placed to",
			`write uri below the trunk, like "sip:{{.To.Number}}@pbx.example.com"`)
	}
	return t, l.oneOf("trunks", l.trunks, t)
}

// caller accepts the name of a target that may place calls, or an empty text.
func (l *loader) caller(t string) (string, complaint) {
	switch {
	case t == "":
		return "", complaint{}
	case l.targets[t] && !l.callers[t]:
		return "", refuse("is a target that neither calls nor transfers",
			"write sources, call_auth, transfer or transfer_numbers below the target, or remove the route")
	}
	return t, l.oneOf("targets", l.targets, t)
}

// sound accepts the name of a tone or sound, or a word in besides.
func (l *loader) sound(t string, besides ...string) (string, complaint) {
	if _, ok := audio.Tone(t); ok || l.sounds[t] || slices.Contains(besides, t) {
		return t, complaint{}
	}
	return "", refuse("is neither a tone nor the name of a sound",
		meant(t, slices.Concat(besides, audio.Tones(), namesOf(l.sounds)),
			"write one of "+strings.Join(slices.Concat(besides, audio.Tones()), ", ")+", or add it to sounds"))
}

// uniqueListeners accepts one listener for each transport and address family: a process sends from one address of each
// kind.
func uniqueListeners(section) func(string) (any, complaint) {
	taken := map[string]Listener{}
	return func(t string) (any, complaint) {
		got, c := parseListener(t)
		if !c.none() {
			return got, c
		}
		k := got.Transport + " " + family(got.AddrPort.Addr())
		if first, more := taken[k]; more && first != got {
			return got, refuse("is a second address for "+k, "keep one of them")
		}
		taken[k] = got
		return got, complaint{}
	}
}

// uniqueAddresses accepts addresses of media, each with a unique advertised address.
func uniqueAddresses(section) func(string) (any, complaint) {
	taken := map[netip.Addr]bool{}
	return func(t string) (any, complaint) {
		m, c := parseMediaListener(t)
		for _, a := range []netip.Addr{m.Addr, m.Advertise} {
			if c.none() && taken[a] {
				c = refuse("has an address that is in the list already", "give each element addresses of its own")
			}
			taken[a] = a.IsValid()
		}
		return m, c
	}
}

// mediaAddress accepts an address in media.listen of the file. On a reload, the running process must listen there,
// too.
func mediaAddress(s section) func(string) (any, complaint) {
	return func(t string) (any, complaint) {
		if t == "" {
			return netip.Addr{}, complaint{}
		}
		a, c := parseAddr(t)
		switch {
		case !c.none():
		case !bindable(s.l.cfg.Media.Listen, a):
			c = refuse("is not in media.listen", "add it there, or write one that is: "+listened(s.l.cfg.Media.Listen))
		case s.l.running != nil && !bindable(s.l.running.Media.Listen, a):
			c = refuse("is not in the media.listen that the process runs with", "restart it: media counts from then on")
		}
		return a, c
	}
}
