package bridge

import (
	"flowbridge/media"
	"flowbridge/media/answerer"
)

// answerSession has the methods of the media session that answer detection uses.
type answerSession interface {
	DetectAnswer(media.Side, answerer.Limits)
}

// DetectAnswer starts the detector on a side, which reports a person, a machine or a fax in media.EventAnsweredBy. If
// the limits include a time for a beep, media.EventBeep follows when the beep is over. The detector does not continue
// in another process.
func (m *Media) DetectAnswer(side media.Side, l answerer.Limits) {
	if m.session != nil {
		m.session.DetectAnswer(side, l)
	}
}
