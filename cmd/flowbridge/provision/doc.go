// Package provision is `flowbridge synthflow` and `flowbridge vapi`: numbers and agents in accounts at platforms.
//
// A resource is one kind of things in an account. resource.go writes create, list, show, update and delete once;
// synthflow.go and vapi.go are the table of resources. The setup files are `flowbridge synthflow setup`, which goes from
// an account to a call.
package provision
