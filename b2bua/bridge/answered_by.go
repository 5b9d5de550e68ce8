package bridge

import (
	"flowbridge/media"
	"flowbridge/media/answerer"
)

// answerSession detects whether a person, a machine or a fax has answered.
type answerSession interface {
	DetectAnswer(media.Side, answerer.Limits)
}

// DetectAnswer starts the detector on a side: media.EventAnsweredBy has its verdict. If the limits have a time for a
// beep, media.EventBeep follows when the beep is over. The detector does not continue in another process.
func (m *Media) DetectAnswer(side media.Side, l answerer.Limits) {
	if m.session != nil {
		m.session.DetectAnswer(side, l)
	}
}
