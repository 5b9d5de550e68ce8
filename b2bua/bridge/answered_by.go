package bridge

import (
	"flowbridge/media"
	"flowbridge/media/answerer"
)

// answerSession finds out who or what has answered.
type answerSession interface {
	DetectAnswer(media.Side, answerer.Limits)
}

// DetectAnswer listens for who has answered a side: media.EventAnsweredBy says who. If the limits have a time
// for a beep, media.EventBeep follows when that is over. Another process does not continue it.
func (m *Media) DetectAnswer(side media.Side, l answerer.Limits) {
	if m.session != nil {
		m.session.DetectAnswer(side, l)
	}
}
