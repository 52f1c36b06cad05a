package usage

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"databricks-credential-rotation/shared/usagelog"
)

//go:embed data/scopes.json
var scopesFile []byte

// scopeNames tell which scope a call needs, as data/scopes.json has them.
type scopeNames struct {
	About string     `json:"about"`
	Work  []workName `json:"work"`
}

type workName struct {
	Name   string   `json:"name"`
	Scopes []string `json:"scopes"`
	Sure   string   `json:"sure"`
}

var scopes = loadScopes()

// loadScopes panics on a fault in the embedded file, which the tests meet
// before anybody else does.
func loadScopes() (s scopeNames) {
	d := json.NewDecoder(bytes.NewReader(scopesFile))
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		panic(fmt.Sprintf("data/scopes.json: %v", err))
	}
	return s
}

// byAction are the services whose actions need different scopes.
func byAction() string {
	var found []string
	for _, w := range scopes.Work {
		if service, _, ok := strings.Cut(w.Name, "."); ok && !slices.Contains(found, service) {
			found = append(found, service)
		}
	}
	return usagelog.List(found)
}

// needed returns the scopes that work needs, and the work of which that is not
// known.
func needed(work []string) (known, unmapped []string) {
	known = []string{}
	for _, w := range work {
		i := slices.IndexFunc(scopes.Work, func(s workName) bool { return s.Name == w })
		if i < 0 {
			unmapped = append(unmapped, w)
			continue
		}
		known = append(known, scopes.Work[i].Scopes...)
	}
	slices.Sort(known)
	return slices.Compact(known), unmapped
}
