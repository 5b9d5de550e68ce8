package record

import (
	"encoding/base64"
	"encoding/hex"
	"testing"
)

func TestNumberInMessage(t *testing.T) {
	is := func(digits string) bool { return digits == "15557654321" || digits == "100" }
	inHex := hex.EncodeToString([]byte("+1 555-765-4321"))
	std := func(text string) string { return base64.StdEncoding.EncodeToString([]byte(text)) }
	url := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	for text, want := range map[string]bool{
		"Diversion: <sip:+15557654321@h>;reason=unconditional":                   true,
		"From: \"Ann (1 555) 765-4321\" <sip:anonymous@anonymous.invalid>":       true,
		"User-to-User: 00" + inHex + ";encoding=hex":                             true,
		"User-to-User: 0" + inHex + "f;encoding=hex":                             true,
		"User-to-User: 3135353537363534333231":                                   true,
		"User-to-User: 313535353736353433323":                                    false,
		"User-to-User: 313535353736353433323135":                                 false,
		"User-to-User: " + std(` {"n":"(1555) 765-4321"} `) + ";encoding=base64": true,
		"Identity: e30." + url(`{"dest":{"tn":["15557654321"]}}`) + ".x_y;ppt":   true,
		"X-Data: " + url("?>?>+15557654321"):                                     true,
		"X-Data: " + std("?>?>+15557654321") + "\r\n":                            true,
		"X-Data: " + std("1555765432"):                                           false,
		"CSeq: 100 INVITE":                                                       false, "X-Ext: 313030": false, "": false,
	} {
		if NumberInMessage(text, is) != want {
			t.Errorf("%q: %v", text, !want)
		}
	}
}

func FuzzNumberInMessage(f *testing.F) {
	f.Add("15557654321 3135353537363534333231")
	f.Fuzz(func(t *testing.T, text string) {
		NumberInMessage(text, func(digits string) bool {
			if len(digits) < MinSought {
				t.Errorf("%q is too short", digits)
			}
			return false
		})
	})
}
