package transport

import "sync/atomic"

// All returns the counts by reason. The log uses the same reasons, but does not log three of them: malformed,
// no_dialog (481) and challenged (401 to a request without credentials).
func (r *Rejections) All() map[string]uint64 {
	all := map[string]uint64{}
	for reason, n := range map[string]*atomic.Uint64{
		"unknown_source": &r.UnknownSource, "too_large": &r.TooLarge, "response_without_request": &r.NotOurs,
		"too_short_for_answer": &r.TooShort, "not_sip": &r.NotSIP, "no_dialog": &r.NoDialog, "malformed": &r.Malformed,
		"full": &r.Full, "draining": &r.Draining, "connections": &r.Connections, "setups": &r.Setups, "ports": &r.Ports,
		"source_rate": &r.Flood, "overload": &r.Overload, "memory": &r.Memory, "challenged": &r.Challenged,
		"stranger_rate": &r.StrangerRate,
		"unauthorized":  &r.Unauthorized, "throttled": &r.Throttled, "no_trunk": &r.NoTrunk, "not_of_call": &r.NotOfCall,
	} {
		all[reason] = n.Load()
	}
	return all
}
