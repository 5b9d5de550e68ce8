package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// errMore means that a body has more than one JSON object.
var errMore = errors.New("the body has more in it than one JSON object")

// readBody reads the one JSON object of a request's body. It returns io.EOF if the body is empty. bodyProblem words its
// errors.
func readBody(r *http.Request, into any) error {
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if _, err = dec.Token(); errors.Is(err, io.EOF) {
			return nil
		}
		if large := new(http.MaxBytesError); !errors.As(err, &large) {
			return errMore
		}
	}
	return err
}

// body reads the body. If it can't be read, body answers the request.
func (a *api) body(w http.ResponseWriter, r *http.Request, into any, remedy string) bool {
	err := readBody(r, into)
	if err != nil {
		status, problem := bodyProblem(err)
		a.fail(w, status, problem, remedy)
	}
	return err == nil
}

// bodyProblem says why a body can't be read, and returns the status for the answer.
func bodyProblem(err error) (status int, problem string) {
	var large *http.MaxBytesError
	var kind *json.UnmarshalTypeError
	field, unknown := strings.CutPrefix(err.Error(), "json: unknown field ") // encoding/json has no type for this error
	switch {
	case errors.As(err, &large): // RFC 9110 section 15.5.14
		return http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", large.Limit)
	case errors.Is(err, io.EOF):
		return http.StatusBadRequest, "the body is empty"
	case errors.Is(err, errMore):
		return http.StatusBadRequest, errMore.Error()
	case errors.As(err, &kind) && kind.Field != "":
		return http.StatusBadRequest, fmt.Sprintf("%s in the body is a JSON %s, which it can't be",
			quoted(kind.Field), kind.Value)
	case errors.As(err, &kind):
		return http.StatusBadRequest, fmt.Sprintf("the body is a JSON %s and no object", kind.Value)
	case unknown:
		return http.StatusBadRequest, "the body has a field that is not known: " + field
	}
	return http.StatusBadRequest, "the body is not JSON"
}
