package bridge

import (
	"time"

	"flowbridge/config"
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

// BeepWithin is how long a machine's beep is waited for.
const BeepWithin = 40 * time.Second

// LimitsOf is how long is waited to find out who answers, as a trunk wants it.
func LimitsOf(wanted *config.WhoAnswers) (l answerer.Limits) {
	if wanted.Machine == config.MachinePlay {
		l.Beep = BeepWithin
	}
	return l
}
