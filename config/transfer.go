package config

import (
	"net/netip"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v3"
)

// transfer reads what becomes of a target's REFER, and where it may transfer to.
func (s section) transfer(t *Target) {
	t.Transfer = TransferMode(s.choice("transfer", string(TransferRefuse), string(TransferRefuse), string(TransferLocal), string(TransferRelay)))
	for _, text := range each(s, "transfer_numbers", parseNumberPattern) {
		t.TransferNumbers = append(t.TransferNumbers, regexp.MustCompile(text)) // it was tried
	}
	t.TransferHosts = each(s, "transfer_hosts", parseTransferHost)
	switch {
	case t.Transfer == TransferRefuse:
		for _, key := range []string{"transfer_numbers", "transfer_hosts"} {
			if s.elements(key) > 0 {
				s.fields[key].fail("has no effect with transfer: refuse", "write transfer: local or transfer: relay, or remove it")
			}
		}
	case s.elements("transfer_numbers")+s.elements("transfer_hosts") == 0:
		s.fields["transfer"].fail("allows transfers, but to nowhere",
			`write transfer_numbers, like ["^\\+1507"], or transfer_hosts, like [pbx.example.com]`)
	}
}

// elements counts those of a list, right or wrong.
func (s section) elements(key string) int {
	v, ok := s.fields[key]
	if ok {
		v, ok = v.resolve()
	}
	if !ok || v.node.Kind != yaml.SequenceNode {
		return 0
	}
	return len(v.node.Content)
}

// parseNumberPattern takes a regular expression over numbers. An empty one would allow all of them.
func parseNumberPattern(t string) (string, complaint) {
	if t == "" {
		return "", refuse("is empty", `write a regular expression like "^\\+1507", or ".*" for every number`)
	}
	_, c := parseRegexp(t)
	return t, c
}

// parseTransferHost takes a host name or address, and gives it in one spelling.
func parseTransferHost(t string) (string, complaint) {
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(t, "["), "]")); err == nil && a.Zone() == "" {
		return a.Unmap().String(), complaint{}
	}
	if !isHostName(t) {
		return "", refuse("is neither a host name nor an address", "write it without sip: and port, like pbx.example.com")
	}
	return strings.ToLower(strings.TrimSuffix(t, ".")), complaint{}
}
