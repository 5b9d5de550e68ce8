package admin

import (
	"net/http"

	"flowbridge/store/record"
)

// Configuration is the configuration in force beside its file. Its texts have no secrets.
type Configuration struct {
	File string `json:"file"`
	// Since is when InForce came into force.
	Since   record.Time `json:"since"`
	InForce string      `json:"in_force"`
	// Before is the configuration before the last reload. It is nil if there was no reload.
	Before *string `json:"before"`
	// OnDisk is the file as it is now. It is nil if the file can't be read.
	OnDisk *string `json:"on_disk"`
	// NeedRestart lists the sections of InForce that wait for a restart.
	NeedRestart []string `json:"need_restart"`
	// Findings are the results of flowbridge check for OnDisk.
	Findings []Finding `json:"findings"`
	Names    Names     `json:"names"`
}

// Finding is an error or a warning about a file.
type Finding struct {
	File    string `json:"file,omitempty"` // another file than the configuration
	Line    int    `json:"line"`           // 0 if it is about several lines
	Key     string `json:"key"`
	Problem string `json:"problem"`
	Remedy  string `json:"remedy"`
	Error   bool   `json:"error"` // a reload would refuse the file
}

// Names are the names that records may have. A route without a name has its place.
type Names struct {
	Trunks  []string `json:"trunks"`
	Targets []string `json:"targets"`
	Routes  []string `json:"routes"`
}

func (a *api) configuration(w http.ResponseWriter, _ *http.Request) {
	c, err := a.Operator.Configuration()
	if err != nil {
		a.fail(w, http.StatusConflict, "there is no configuration in force: "+err.Error(), "try again, or see the log")
		return
	}
	a.write(w, http.StatusOK, c)
}
