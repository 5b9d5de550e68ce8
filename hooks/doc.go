// Package hooks is where platforms and carriers ask us by HTTP: listeners with
// bounds on time and size, and the endpoint that gives an agent the variables
// of its call. What a platform's own requests look like is in the packages of
// the platforms.
package hooks
