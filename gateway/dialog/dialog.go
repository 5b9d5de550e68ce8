package dialog

import (
	"time"

	"github.com/emiago/sipgo/sip"
)

// Dialog is what the requests within a call need (RFC 3261 section 12).
type Dialog struct {
	CallID    string `json:"c"`
	LocalTag  string `json:"l"`
	RemoteTag string `json:"r"`
	Local     string `json:"f"` // URI of our From
	Remote    string `json:"t"` // URI of the B2BUA's To
	Target    string `json:"u"` // URI of the B2BUA's Contact
}

// Request returns a request of the dialog. An ACK has the number of its INVITE.
func (d *Dialog) Request(method sip.RequestMethod, seq uint32) *sip.Request {
	var local, remote, target sip.Uri
	_ = sip.ParseUri(d.Local, &local) // they were parsed, or made, before
	_ = sip.ParseUri(d.Remote, &remote)
	_ = sip.ParseUri(d.Target, &target)
	req := sip.NewRequest(method, target)
	from := sip.FromHeader{Address: local, Params: sip.NewParams()}
	from.Params.Add("tag", d.LocalTag)
	to := sip.ToHeader{Address: remote, Params: sip.NewParams()}
	if d.RemoteTag != "" {
		to.Params.Add("tag", d.RemoteTag)
	}
	id, hops := sip.CallIDHeader(d.CallID), sip.MaxForwardsHeader(70)
	req.AppendHeader(&from)
	req.AppendHeader(&to)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: method})
	req.AppendHeader(&hops)
	return req
}

// epoch is when sequence numbers begin, so that they fit into 31 bits until 2032.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // constant

// NextCSeq returns the sequence number after one of this process. It exceeds those of an earlier process, too, because
// it follows the clock: ten a second.
func NextCSeq(last uint32) uint32 {
	return max(last+1, uint32(max(0, time.Since(epoch)/(100*time.Millisecond))))
}

// SDPVersion returns the version of a description (RFC 8866 section 5.2): it exceeds those of an earlier process.
func SDPVersion() uint64 { return uint64(time.Since(epoch) / time.Millisecond) }
