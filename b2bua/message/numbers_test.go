package message

import (
	"strings"
	"testing"
	"unicode"

	"github.com/emiago/sipgo/sip"
)

func TestNormalise(t *testing.T) {
	for _, tt := range []struct{ user, country, want string }{
		// E.164 numbers are unchanged, whatever the country.
		{"+15075785607", "1", "+15075785607"},
		{"+15075785607", "49", "+15075785607"},
		{"+15075785607", "", "+15075785607"},
		{"%2B15075785607", "1", "+15075785607"},
		{"+1 (507) 578-56.07", "1", "+15075785607"},
		{"+1%20507%20578%205607", "1", "+15075785607"},
		{"+15075785607;npdi;rn=+15550001111", "1", "+15075785607"},
		{"+15075785607;phone-context=example.com", "", "+15075785607"},

		// Without a country, numbers are unchanged.
		{"5075785607", "", "5075785607"},
		{"0015075785607", "", "0015075785607"},
		{"507-578-5607", "", "5075785607"},
		{"100", "", "100"},
		{"00", "", "00"},
		{strings.Repeat("9", 400), "1", strings.Repeat("9", 400)},
		{"+" + strings.Repeat("9", 400), "", "+" + strings.Repeat("9", 400)},

		// In North America, the country code 1 is added.
		{"5075785607", "1", "+15075785607"},
		{"15075785607", "1", "+15075785607"},
		{"01149301234567", "1", "+49301234567"},
		{"011441632960001", "1", "+441632960001"},
		{"25075785607", "1", "25075785607"},
		{"911", "1", "911"},
		{"1001", "1", "1001"},
		{"5785607", "1", "5785607"},
		{"011", "1", "011"},
		{"(507) 578-5607", "1", "+15075785607"},
		{"01181312345678", "1", "+81312345678"},
		{"0111234567", "1", "+10111234567"}, // ten digits
		{"411", "1", "411"},
		{"", "1", ""},

		// Most countries have the trunk prefix 0.
		{"0301234567", "49", "+49301234567"},
		{"0049301234567", "49", "+49301234567"},
		{"0015075785607", "49", "+15075785607"},
		{"01632960001", "44", "+441632960001"},
		{"00441632960001", "44", "+441632960001"},
		{"0612345678", "39", "+390612345678"}, // Italy keeps the 0 in international numbers
		{"3331234567", "39", "+393331234567"},
		{"00390612345678", "39", "+390612345678"},
		{"113", "39", "113"},
		{"0033123456789", "39", "+33123456789"},
		{"00493012", "49", "+490493012"}, // too short for a foreign number
		{"0", "49", "0"},
		{"00", "49", "00"},
		{"110", "49", "110"},
		{"112", "49", "112"},
		{"0800", "49", "0800"}, // a short code
		{"116117", "49", "116117"},
		{"999", "44", "999"},
		{"960001", "44", "960001"}, // a subscriber number

		// Text that is not a number is unchanged.
		{"anonymous", "1", "anonymous"},
		{"alice", "49", "alice"},
		{"1-800-FLOWERS", "1", "1-800-FLOWERS"},
		{"+1507abc", "1", "+1507abc"},
		{"*98", "1", "*98"},
		{"#31#5075785607", "1", "#31#5075785607"},
		{"++15075785607", "1", "++15075785607"},
		{"", "1", ""},
		{"+", "1", "+"},
		{"-", "1", "-"},
		{";x=y", "1", ";x=y"},
		{"a%20b", "1", "a%20b"},
		{"a%0Ab", "1", "a%0Ab"}, // not unescaped, because it could end a header
		{"a%00b", "1", "a%00b"},
		{"a%zz", "1", "a%zz"},
		{"١٢٣", "1", "١٢٣"}, // digits that can't be dialled
	} {
		if got := NormaliseNumber(tt.user, tt.country); got != tt.want {
			t.Errorf("%q in country %q: %q; want %q", tt.user, tt.country, got, tt.want)
		}
	}
}

// Normalising twice changes nothing.
func TestNormaliseTwice(t *testing.T) {
	for _, user := range []string{"5075785607", "0301234567", "0049301234567", "01149301234567", "+1 507", "alice", "911"} {
		for _, country := range []string{"", "1", "49", "44"} {
			once := NormaliseNumber(user, country)
			if twice := NormaliseNumber(once, country); twice != once {
				t.Errorf("%q in country %q: %q, then %q", user, country, once, twice)
			}
		}
	}
}

func TestPhoneContext(t *testing.T) {
	for _, tt := range []struct{ user, country, want string }{
		{"301234567;phone-context=+49", "", "+49301234567"},
		{"0301234567;phone-context=+49", "", "+49301234567"},
		{"0049301234567;phone-context=+49", "", "+49301234567"},
		{"301234567;phone-context=%2B49", "1", "+49301234567"},
		{"1234567;phone-context=+4930", "", "+49301234567"},
		{"0301234567;phone-context=+4930", "", "+49301234567"},
		{"0612345678;phone-context=+39", "", "+390612345678"},
		{"5550198;phone-context=+1507", "", "+15075550198"},
		{"5075550198;PHONE-CONTEXT=+1", "49", "+15075550198"},
		{"15075550198;phone-context=+1", "", "+15075550198"},
		{"5550198;npdi;phone-context=+1-507;rn=1", "", "+15075550198"},
		{"12345678;phone-context=+352", "", "+35212345678"},

		// Short codes are unchanged, and so is text that does not result in a number.
		{"110;phone-context=+49", "", "110"},
		{"116117;phone-context=+49", "", "116117"},
		{"911;phone-context=+1", "", "911"},
		{"863-1234;phone-context=+1-914-555", "", "8631234"},
		{"7042;phone-context=+12125550000", "", "7042"},
		{"5550198;phone-context=+1", "", "5550198"},

		// A phone-context that is a domain does not complete a number; the country does.
		{"0301234567;phone-context=ims.example", "49", "+49301234567"},
		{"7042;phone-context=example.com", "1", "7042"},
		{"301234567;phone-context=+0", "", "301234567"},
		{"301234567;phone-context=+", "", "301234567"},
		{"301234567;phone-context=+" + strings.Repeat("4", 40), "", "301234567"},

		// A global number ignores the context, and so does a name.
		{"+15075550198;phone-context=+49", "", "+15075550198"},
		{"alice;phone-context=+49", "", "alice;phone-context=+49"},
		{"5075550198;ext=12;isub=4567", "1", "+15075550198"},
		{"1507%3B5550198", "1", "1507%3B5550198"},
	} {
		if got := NormaliseNumber(tt.user, tt.country); got != tt.want {
			t.Errorf("%q in country %q: %q; want %q", tt.user, tt.country, got, tt.want)
		}
	}
}

// FuzzNormalise checks that a number stays the same when it is normalised again, has no
// control character, and, once escaped, is the user part of a URI.
func FuzzNormalise(f *testing.F) {
	for _, user := range []string{
		"+15075785607", "%2B1507", "0301234567;phone-context=+49", "a@b", "1:2", "\r\n", "٣", "*98", "sip:x", "%", ";", "//x", "[::1",
	} {
		f.Add(user, "1")
		f.Add(user, "49")
	}
	f.Fuzz(func(t *testing.T, user, country string) {
		if !AllDigits(country) || len(country) > 3 || country[0] == '0' {
			country = ""
		}
		number := NormaliseNumber(user, country)
		if again := NormaliseNumber(number, country); again != number {
			t.Errorf("%q, then %q", number, again)
		}
		if IsNumber(number) && strings.ContainsFunc(number, unicode.IsControl) {
			t.Errorf("%q has a control character; want it to be no number", number)
		}
		var uri sip.Uri
		text := "sip:" + EscapeUser(number) + "@target.example"
		if err := sip.ParseUri(text, &uri); err != nil || uri.Host != "target.example" || strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%q: host %q, %v", text, uri.Host, err)
		}
	})
}
