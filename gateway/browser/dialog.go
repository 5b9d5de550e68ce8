package browser

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"time"

	"github.com/emiago/sipgo/sip"
)

// dialog is what the requests within a call need (RFC 3261 section 12). It is sealed into the call's location.
type dialog struct {
	CallID    string `json:"c"`
	LocalTag  string `json:"l"`
	RemoteTag string `json:"r"`
	From      string `json:"f"` // URI
	To        string `json:"t"` // URI
	Target    string `json:"u"` // URI of the B2BUA's Contact
	By        string `json:"b"` // name of the token
}

var errNoDialog = errors.New("the answer begins no dialog")

// dialogOf returns the dialog that a response to our INVITE begins.
func dialogOf(res *sip.Response) (d dialog, err error) {
	if res.From() == nil || res.To() == nil || res.CallID() == nil || res.Contact() == nil {
		return d, errNoDialog
	}
	local, _ := res.From().Params.Get("tag")
	remote, has := res.To().Params.Get("tag")
	if !has {
		return d, errNoDialog
	}
	return dialog{
		CallID: res.CallID().Value(), LocalTag: local, RemoteTag: remote,
		From: res.From().Address.String(), To: res.To().Address.String(), Target: res.Contact().Address.String(),
	}, nil
}

// request returns a request of the dialog. An ACK has the number of its INVITE.
func (d *dialog) request(method sip.RequestMethod, seq uint32) *sip.Request {
	var from, to, target sip.Uri
	_ = sip.ParseUri(d.From, &from) // they were parsed, or made, before
	_ = sip.ParseUri(d.To, &to)
	_ = sip.ParseUri(d.Target, &target)
	req := sip.NewRequest(method, target)
	sender := sip.FromHeader{Address: from, Params: sip.NewParams()}
	sender.Params.Add("tag", d.LocalTag)
	called := sip.ToHeader{Address: to, Params: sip.NewParams()}
	if d.RemoteTag != "" {
		called.Params.Add("tag", d.RemoteTag)
	}
	id, hops := sip.CallIDHeader(d.CallID), sip.MaxForwardsHeader(70)
	req.AppendHeader(&sender)
	req.AppendHeader(&called)
	req.AppendHeader(&id)
	req.AppendHeader(&sip.CSeqHeader{SeqNo: seq, MethodName: method})
	req.AppendHeader(&hops)
	return req
}

func newToken() string { return rand.Text() }

// epoch is when sequence numbers begin, so that they fit into 31 bits until 2032.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) //nolint:gochecknoglobals // constant

// nextSeq returns the number of a BYE. It follows the clock, so that it exceeds the INVITE's number, even if an earlier
// process sent the INVITE.
func nextSeq() uint32 { return uint32(max(2, time.Since(epoch)/(100*time.Millisecond))) }

// seals encrypts locations.
type seals struct{ aead cipher.AEAD }

func newSeals(key [32]byte) (seals, error) {
	own := sha256.Sum256(append([]byte("browser gateway"), key[:]...)) // the node's key also serves others
	block, err := aes.NewCipher(own[:])
	if err != nil {
		return seals{}, err
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	return seals{aead}, err
}

// seal returns the text for a location.
func (s seals) seal(d *dialog) (string, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(s.aead.Seal(nil, nil, text, nil)), nil
}

// ErrLocation means that a location was not sealed by this node.
var ErrLocation = errors.New("no such call")

// open opens a sealed text.
func (s seals) open(location string) (d dialog, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(location)
	if err != nil {
		return d, ErrLocation
	}
	text, err := s.aead.Open(nil, nil, b, nil)
	if err != nil || json.Unmarshal(text, &d) != nil {
		return d, ErrLocation
	}
	return d, nil
}
