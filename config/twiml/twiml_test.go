package twiml

import (
	"errors"
	"testing"
)

func TestDocument(t *testing.T) {
	for text, ok := range map[string]bool{
		"<Response/>": true, "\n<Response><Say language=\"de\">Sorry, &lt;nobody&gt;.</Say></Response>\n": true,
		`<Response><Redirect>https://a.example/?a=1&amp;b=2</Redirect></Response>`: true,
		"": false, "busy": false, "<Say>x</Say>": false, "<Response>": false, "<Response/>x": false, "x<Response/>": false,
		"<Response>a\x00</Response>": false, `<?xml version="1.0"?><Response/>`: true,
		"<Response/><Response/>": false, "<!-- none --><Response><Dial timeLimit=\"x\">+1</Dial></Response>": true,
	} {
		if _, err := Document(text); (err == nil) != ok || err != nil && !errors.Is(err, errDocument) {
			t.Errorf("%q: got %v; want an error: %t", text, err, !ok)
		}
	}
}
