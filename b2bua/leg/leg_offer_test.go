package leg

import (
	"testing"

	"github.com/emiago/sipgo/sip"

	"flowbridge/b2bua/cause"
)

// A 200 to our re-INVITE that comes when that has been given up, and the dialog
// with it, gets its ACK.
func TestReinviteAnsweredTooLate(t *testing.T) {
	lt := UasIn(t, "confirmed")
	lt.want(lt.do(Offer{Ref: 1, SDP: []byte("v=0")}), "INVITE")
	late := responseTo(t, lt, sip.INVITE, 200, "OK")
	lt.want(lt.do(RequestFailed{Method: sip.INVITE, Seq: 1, Cause: cause.TargetSilent}), "gone dialog_lost, BYE")
	lt.want(lt.do(late), "ACK")
	lt.want(lt.do(late), "ACK")
}
