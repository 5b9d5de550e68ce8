package rest

import "net/http"

// WithoutUpgrade removes the connection from an unsolicited answer 101. net/http returns the connection as a body,
// and then neither a context nor a timeout ends a read of it. Other answers are not changed.
func WithoutUpgrade(res *http.Response) {
	if res.StatusCode == http.StatusSwitchingProtocols {
		_ = res.Body.Close() // ends the connection
		res.Body = http.NoBody
	}
}
