package estate

import (
	"slices"
	"strconv"
	"strings"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

// Calls counts calls by their kind, "service operation".
type Calls map[string]int

// Seen counts the calls that reached the clouds since they were last forgotten.
func (e *Estate) Seen() Calls {
	calls := Calls{}
	for _, c := range e.records() {
		calls[c.Service+" "+operation(c)]++
	}
	return calls
}

// SeenOf counts the calls to Databricks that were about one of the members.
func (e *Estate) SeenOf(which func(Member) bool) Calls {
	about := map[string]bool{}
	for _, m := range e.Members {
		if which(m) {
			about[strconv.FormatInt(m.Principal.ID, 10)] = true
			about[m.Principal.ApplicationID] = true
		}
	}
	calls := Calls{}
	for _, c := range e.records() {
		if c.Service == "databricks" && about[c.Target] {
			calls[c.Service+" "+operation(c)]++
		}
	}
	return calls
}

func (e *Estate) records() []faulttest.Call {
	return slices.Concat(e.Databricks.Faults().Calls(), e.AWS.Faults().Calls())
}

// names of what the product calls of Databricks, for a reader.
var names = map[string]string{
	databrickstest.OpAccountListSecrets:  "list OAuth secrets",
	databrickstest.OpAccountCreateSecret: "create OAuth secret",
	databrickstest.OpAccountDeleteSecret: "delete OAuth secret",
	databrickstest.OpAccountToken:        "token request",
}

func operation(c faulttest.Call) string {
	if name, ok := names[c.Op]; ok {
		return name
	}
	return c.Op
}

// Of sums the calls of a service.
func (c Calls) Of(service string) int {
	sum := 0
	for kind, n := range c {
		if strings.HasPrefix(kind, service+" ") {
			sum += n
		}
	}
	return sum
}

// Sum is all calls.
func (c Calls) Sum() int {
	sum := 0
	for _, n := range c {
		sum += n
	}
	return sum
}
