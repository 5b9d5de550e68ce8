package leg

import (
	"github.com/emiago/sipgo/sip"

	"flowbridge/internal/siptest"
)

func responseToBye(bye *sip.Request, code int) ResponseIn {
	return ResponseIn{Res: sip.NewResponseFromRequest(bye, code, "Whatever", nil), Source: siptest.Agent}
}
