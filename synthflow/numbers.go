package synthflow

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"flowbridge/internal/rest"
)

const (
	customNumbersPath = "/v2/custom-numbers"
	numbersPath       = "/v2/numbers"
)

var e164 = regexp.MustCompile(`^\+[1-9][0-9]{1,14}$`)

// providers returns the values of provider_name in the API reference and its newer copies.
func providers() []string {
	return []string{"custom", "twilio", "telnyx", "vonage", "ring_central", "ringcx", "zoom", "five9", "8x8"}
}

// Slug returns a number in the form used in paths of the API: without the leading +.
func Slug(number string) string { return strings.TrimPrefix(number, "+") }

// CheckNumber returns an error if the body that imports a number is wrong, as far as that can be known without
// asking the API. For example, only the API can judge termination_uri, because the documents contradict each other
// about it.
func CheckNumber(body rest.Object) error {
	provider, _ := body.Text("provider_name")
	number, given := body.Text("phone_number")
	switch {
	case !given && body["phone_number"] != nil:
		return errors.New(`phone_number is no text: write it in quotes, like "+15551230000"`)
	case number == "" && provider != "8x8": // the platform assigns the number of 8x8
		return errors.New("phone_number is missing: write it with + and country code, like +15551230000")
	case number != "" && rest.BadID(number) != "":
		return errors.New("phone_number holds a character that no number has: write it like +15551230000")
	case number != "" && !e164.MatchString(number) && provider != "five9" && provider != "zoom" && provider != "8x8":
		return fmt.Errorf("phone_number %q is not E.164: write it with + and country code, like +15551230000", number)
	}
	if workspace, _ := body.Text("workspace_id"); workspace == "" {
		return errors.New("workspace_id is missing: it is in the platform's workspace settings")
	}
	if p, given := body["provider_name"]; given && !slices.Contains(providers(), provider) {
		return fmt.Errorf("provider_name %q: one of %s", fmt.Sprint(p), strings.Join(providers(), ", "))
	}
	return checkRegistration(body)
}

// checkRegistration checks the members for uac_enabled.
func checkRegistration(body rest.Object) error {
	if v, ok := body["uac_register_expires"]; ok {
		n, isNumber := v.(json.Number)
		seconds, err := n.Int64()
		if !isNumber || err != nil || seconds < 60 || seconds > 3600 {
			return errors.New("uac_register_expires is not a whole number of seconds from 60 to 3600")
		}
	}
	enabled, isBool := body["uac_enabled"].(bool)
	user, _ := body.Text("trunk_username")
	password, _ := body.Text("trunk_pwd")
	switch {
	case !isBool && body["uac_enabled"] != nil:
		return errors.New("uac_enabled is neither true nor false")
	case enabled && (user == "" || password == ""):
		return errors.New("uac_enabled needs trunk_username and trunk_pwd, by which the platform registers")
	}
	return nil
}

// Numbers are the numbers of an account's workspace.
type Numbers struct{ *Account }

// Create imports a number (POST /v2/custom-numbers) and returns the API's response: key and phone_number.
func (a Numbers) Create(ctx context.Context, body rest.Object, _ map[string]bool) (rest.Object, error) {
	e, err := a.call(ctx, rest.Request{Method: http.MethodPost, Path: customNumbersPath, Body: body})
	if err != nil {
		return nil, err
	}
	if e.response == nil {
		return nil, e.unusable("the answer has no response")
	}
	got, _ := e.response.Text("phone_number")
	wanted, _ := body.Text("phone_number")
	switch {
	case rest.BadID(got) != "":
		return nil, e.unusable("the answer has no usable phone_number")
	case wanted != "" && Slug(got) != Slug(wanted):
		return nil, e.unusable(fmt.Sprintf("the answer is about another number, %s", got))
	}
	if key, ok := e.response.Text("key"); !ok || rest.BadID(key) != "" {
		return nil, e.unusable("the answer has no usable key")
	}
	return e.response, nil
}

// List returns the numbers (GET /v2/numbers): number, sid, is_available.
func (a Numbers) List(ctx context.Context) ([]rest.Object, error) {
	return a.list(ctx, numbersPath, url.Values{"workspace": {a.workspace}}, "phone_numbers", "number")
}

// Get returns one number (GET /v2/numbers/{slug}).
func (a Numbers) Get(ctx context.Context, number string) (rest.Object, error) {
	e, err := a.call(ctx, rest.Request{
		Method: http.MethodGet, Path: numberPath(number), Query: url.Values{"workspace": {a.workspace}},
	})
	if err != nil {
		return nil, err
	}
	got := e.whole // the API description has no envelope here
	if e.response != nil {
		got = e.response
	}
	name, ok := got.Text("phone_number")
	if !ok {
		name, ok = got.Text("slug")
	}
	switch {
	case !ok || rest.BadID(name) != "":
		return nil, e.unusable("the answer has no usable phone_number")
	case Slug(name) != Slug(number):
		return nil, e.unusable(fmt.Sprintf("the answer is about another number, %s", name))
	}
	return got, nil
}

// Find returns the number that a body would import, in the body's spelling. It returns nil if the workspace does not
// have the number. The documents do not say whether the API then answers 404 or 400. After 400 the list decides.
func (a Numbers) Find(ctx context.Context, want rest.Object) (rest.Object, error) {
	number, _ := want.Text("phone_number")
	if number == "" {
		return nil, nil
	}
	got, failed := a.Get(ctx, number)
	switch rest.StatusOf(failed) {
	case http.StatusNotFound:
		return nil, nil
	case http.StatusBadRequest:
	default:
		if got != nil {
			got = maps.Clone(got)
			got["phone_number"] = number
		}
		return got, failed
	}
	all, err := a.List(ctx)
	if err != nil {
		return nil, failed
	}
	for _, n := range all {
		if name, _ := n.Text("number"); Slug(name) == Slug(number) {
			return nil, failed
		}
	}
	return nil, nil
}

// Delete removes a number from the workspace (DELETE /v2/numbers/{slug}), and detaches it from its agents.
func (a Numbers) Delete(ctx context.Context, number string) error {
	return a.done(ctx, rest.Request{Method: http.MethodDelete, Path: numberPath(number)})
}

func numberPath(number string) string { return numbersPath + "/" + rest.Segment(Slug(number)) }

// CompareNumber returns the members of a body that differ in a number returned by Numbers.Get.
func CompareNumber(have, want rest.Object) []rest.Difference {
	have = maps.Clone(have)
	if uri, ok := have["sip_term_uri"]; ok { // the API's name for either member
		have["termination_uri"] = uri
	}
	return rest.Compare(sameNumber(have, want), want)
}

// sameNumber returns have. If its phone_number differs from want's only in the +, it gets want's.
func sameNumber(have, want rest.Object) rest.Object {
	x, ok1 := have.Text("phone_number")
	y, ok2 := want.Text("phone_number")
	if ok1 && ok2 && x != y && Slug(x) == Slug(y) {
		have = maps.Clone(have)
		have["phone_number"] = y
	}
	return have
}
