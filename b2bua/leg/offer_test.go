package leg

import "testing"

// A 200 to our re-INVITE gets its ACK even after the re-INVITE and the dialog were given
// up.
func TestReinviteAnsweredTooLate(t *testing.T) {
	plays(t, `
uas confirmed
offer X -> INVITE
failed INVITE -> gone dialog_lost, BYE
200 to INVITE -> ACK
200 to INVITE -> ACK`)
}

// RFC 3261 section 13.2.2.4: if the 200 that began the call is repeated, it gets its ACK
// again, however many re-INVITEs came in between.
func TestFirst200AfterReinvites(t *testing.T) {
	plays(t, `
uac confirmed
offer X ; 200 to INVITE ; offer X ; 200 to INVITE ; offer X ; 200 to INVITE ; offer X ; 200 to INVITE
200 agent -> ACK
ACK has CSeq: 1 ACK`)
}

// RFC 3261 section 22.2: if a challenge comes for a request that was given up or has ended,
// the request is not sent again.
func TestChallengeComesTooLate(t *testing.T) {
	plays(t, challenges.Replace(`
uac auth
200 agent ; offer X ; 401 to INVITE | TARGET -> INVITE

uac auth
200 agent ; offer X ; hangup shutdown ; 401 to INVITE | TARGET -> nothing

uac auth
200 agent ; offer X ; 183 to INVITE ; deadline -> offer refused 408, CANCEL
401 to INVITE | TARGET -> nothing`))
}
