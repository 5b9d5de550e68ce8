package config

import (
	"net/netip"
	"strings"
)

// The values of advertise that make Flowbridge find the address at startup.
const (
	advertiseAuto = "auto"
	advertiseSTUN = "stun:" // followed by the server
)

// findsAddress reports whether a value of advertise asks to find the address.
func findsAddress(t string) bool { return t == advertiseAuto || strings.HasPrefix(t, advertiseSTUN) }

// FindsAddress reports whether sip.advertise or media.advertise asks to find the address.
func (c *Config) FindsAddress() bool {
	return findsAddress(c.SIP.Advertise) || findsAddress(c.Media.Advertise)
}

// FindAddress replaces each advertise that asks to find the address with the result of find. The argument of find
// is the STUN server to ask, or "" if none is named. If both keys have the same value, find is called once.
func (c *Config) FindAddress(find func(stunServer string) (netip.Addr, error)) error {
	found := map[string]string{}
	for _, key := range []*string{&c.SIP.Advertise, &c.Media.Advertise} {
		if !findsAddress(*key) {
			continue
		}
		if found[*key] == "" {
			server, _ := strings.CutPrefix(strings.TrimPrefix(*key, advertiseAuto), advertiseSTUN)
			addr, err := find(server)
			if err != nil {
				return err
			}
			found[*key] = addr.String()
		}
		*key = found[*key]
	}
	return nil
}

// parseFound parses a value that asks to find the address.
func parseFound(t string) (string, complaint) {
	server, named := strings.CutPrefix(t, advertiseSTUN)
	host, port, _ := strings.Cut(server, ":")
	if named && (!isHostName(host) && !isIPv4(host) || port != "" && !isPort(port)) {
		return "", refuse("names no STUN server", `write it like "stun:stun.example.com:3478"`)
	}
	return t, complaint{}
}

func isIPv4(t string) bool {
	a, err := netip.ParseAddr(t)
	return err == nil && a.Is4()
}

func isPort(t string) bool {
	_, err := netip.ParseAddrPort("0.0.0.0:" + t)
	return err == nil
}
