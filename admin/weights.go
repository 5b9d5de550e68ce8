package admin

import "net/http"

// weights pins the weights of a route's split, or releases them.
func (a *api) weights(w http.ResponseWriter, r *http.Request, who sender) {
	var body struct {
		Weights map[string]int `json:"weights"`
	}
	const remedy = `send {"weights": {"NAME": 70, "OTHER": 30}}, or DELETE to release them`
	if orders := r.Method == http.MethodPost; orders && !a.body(w, r, &body, remedy) {
		return
	} else if orders && len(body.Weights) == 0 {
		a.fail(w, http.StatusBadRequest, "the body has no weights", remedy)
		return
	}
	if refused := a.Weights(r.Context(), r.PathValue("name"), who.name, body.Weights); refused != nil {
		a.fail(w, refused.Status, refused.Problem, refused.Remedy)
		return
	}
	a.write(w, http.StatusOK, map[string]any{"route": r.PathValue("name"), "pinned": body.Weights != nil})
}
