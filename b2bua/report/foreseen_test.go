package report

import (
	"testing"
	"time"

	"flowbridge/b2bua/stir"
	"flowbridge/internal/stirtest"
)

// TestVerify: the explanation says that a call is refused only for failures that its trunk lists. It assumes that the
// signature is right, because it does not fetch the certificate.
func TestVerify(t *testing.T) {
	const url = "https://certs.example.net/shaken.pem"
	now := time.Now()
	s := stirtest.New(t, stirtest.Provider)
	policy := &stir.Policy{Trunk: "carrier", Roots: s.Root, Hosts: []string{"certs.example.net"}, Fresh: stir.Fresh}
	identity := s.Sign(t, stirtest.Header(url), stirtest.Claims("15075550100", "15095785607", now)) + ";info=<" + url + ">"
	for name, tt := range map[string]struct {
		identity []string
		refuse   []int
		goesOn   bool
		status   int // status of the refusal
		verstat  string
		notes    int
	}{
		"signed":               {identity: []string{identity}, refuse: []int{428, 438}, goesOn: true, verstat: "TN-Validation-Passed", notes: 1},
		"not signed, refused":  {refuse: []int{428}, status: 428, verstat: "No-TN-Validation"},
		"not signed, accepted": {refuse: []int{438}, goesOn: true, verstat: "No-TN-Validation"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &Explanation{}
			found, goesOn := e.verify(policy, &stir.Request{
				Identity: tt.identity, From: "+15075550100", To: "+15095785607", Called: "+15095785607", Came: now,
			}, tt.refuse)
			if goesOn != tt.goesOn || e.Refused == goesOn || e.Status != tt.status {
				t.Errorf("goes on: %v; refused: %v with %d (%s)", goesOn, e.Refused, e.Status, e.Why)
			}
			if found.Verstat != tt.verstat || e.Identity.Verstat != tt.verstat || len(e.Notes) != tt.notes {
				t.Errorf("found %+v; reported %+v, %q; want %s", found, e.Identity, e.Notes, tt.verstat)
			}
		})
	}
}
