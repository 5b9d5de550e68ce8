package browser

import (
	"crypto/rand"
	"errors"

	"github.com/emiago/sipgo/sip"

	"flowbridge/gateway/dialog"
)

// sealed is what a browser's call needs to outlive the process. It is sealed into the call's location.
type sealed struct {
	dialog.Dialog

	By string `json:"b"` // name of the token
}

var errNoDialog = errors.New("the answer begins no dialog")

// dialogOf returns the dialog that a response to our INVITE begins.
func dialogOf(res *sip.Response) (d sealed, err error) {
	if res.From() == nil || res.To() == nil || res.CallID() == nil || res.Contact() == nil {
		return d, errNoDialog
	}
	local, _ := res.From().Params.Get("tag")
	remote, has := res.To().Params.Get("tag")
	if !has {
		return d, errNoDialog
	}
	return sealed{Dialog: dialog.Dialog{
		CallID: res.CallID().Value(), LocalTag: local, RemoteTag: remote,
		Local: res.From().Address.String(), Remote: res.To().Address.String(), Target: res.Contact().Address.String(),
	}}, nil
}

func newToken() string { return rand.Text() }

// ErrLocation means that a location was not sealed by this node.
var ErrLocation = errors.New("no such call")

// open opens a location.
func (g *Gateway) open(location string) (d sealed, err error) {
	if g.seals.Open(location, &d) != nil {
		return sealed{}, ErrLocation
	}
	return d, nil
}
