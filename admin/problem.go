package admin

import "net/http"

// problemType is the media type of every error (RFC 9457).
const problemType = "application/problem+json"

// failure says what is wrong with a request, and what to do.
type failure struct {
	Error  string `json:"error"`
	Remedy string `json:"remedy"`
}

// problem is the answer for every error: the members of RFC 9457, and the same content in our own
// members.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	failure
	// Problems are the errors of a configuration, each in one line.
	Problems []string `json:"problems,omitempty"`
}

// failing is an error that has its own answer.
type failing interface{ problem(status int) problem }

func (f *failure) problem(status int) problem {
	return problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: f.Error, failure: *f}
}

// invalid is the answer for an invalid configuration.
type invalid struct {
	failure

	problems []string
}

func (i *invalid) problem(status int) problem {
	p := i.failure.problem(status)
	p.Problems = i.problems
	return p
}

func (a *api) fail(w http.ResponseWriter, status int, problem, remedy string) {
	a.write(w, status, &failure{problem, remedy})
}
