package databrickstest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

const (
	scimListSchema      = "urn:ietf:params:scim:api:messages:2.0:ListResponse"
	scimPatchSchema     = "urn:ietf:params:scim:api:messages:2.0:PatchOp"
	scimPrincipalSchema = "urn:ietf:params:scim:schemas:core:2.0:ServicePrincipal"
	scimUserSchema      = "urn:ietf:params:scim:schemas:core:2.0:User"
	scimGroupSchema     = "urn:ietf:params:scim:schemas:core:2.0:Group"
)

// scimValue is one entry of a multi-valued attribute.
type scimValue struct {
	Display string `json:"display,omitempty"`
	Type    string `json:"type,omitempty"`
	Value   string `json:"value,omitempty"`
	Ref     string `json:"$ref,omitempty"`
	Primary bool   `json:"primary,omitempty"`
}

// scimList answers a page of those rows that the query's filter matches. Only
// what is on the page is made.
func scimList[T any](r *request, rows []T, fields func(T) scimFields, resource func(T) any) (reply, *failure) {
	start, err := r.number("startIndex", 1)
	if err != nil {
		return reply{}, err
	}
	count, err := r.number("count", r.server.config.SCIMPageSize)
	if err != nil {
		return reply{}, err
	}
	match, err := r.filter()
	if err != nil {
		return reply{}, err
	}
	if match != nil {
		rows = slices.DeleteFunc(slices.Clone(rows), func(row T) bool { return !match.matches(fields(row)) })
	}
	start = max(start, 1)
	count = min(max(count, 0), r.server.config.SCIMPageSize)
	from := min(start-1, len(rows))
	list := struct {
		Schemas      []string `json:"schemas"`
		TotalResults int      `json:"totalResults"`
		StartIndex   int      `json:"startIndex"`
		ItemsPerPage int      `json:"itemsPerPage"`
		Resources    []any    `json:"Resources"`
	}{Schemas: []string{scimListSchema}, TotalResults: len(rows), StartIndex: start, Resources: []any{}}
	for _, row := range rows[from:min(from+count, len(rows))] {
		shown, err := r.attributes(resource(row))
		if err != nil {
			return reply{}, err
		}
		list.Resources = append(list.Resources, shown)
	}
	list.ItemsPerPage = len(list.Resources)
	return reply{http.StatusOK, list}, nil
}

func (r *request) filter() (filter, *failure) {
	text := r.query.Get("filter")
	if text == "" {
		return nil, nil
	}
	return parseFilter(text)
}

// attributes leaves of a resource what the query asks for, and always its id.
func (r *request) attributes(resource any) (any, *failure) {
	only, except := r.query.Get("attributes"), r.query.Get("excludedAttributes")
	if only == "" && except == "" {
		return resource, nil
	}
	if only != "" && except != "" {
		return nil, invalidValue("attributes and excludedAttributes do not go together")
	}
	body, err := json.Marshal(resource)
	if err != nil {
		return nil, fail(http.StatusInternalServerError, "INTERNAL_ERROR", "%v", err)
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(body, &all); err != nil {
		return nil, fail(http.StatusInternalServerError, "INTERNAL_ERROR", "%v", err)
	}
	listed := strings.Split(strings.ToLower(only+except), ",")
	for name := range all {
		if name != "id" && name != "schemas" && slices.Contains(listed, strings.ToLower(name)) == (only == "") {
			delete(all, name)
		}
	}
	return all, nil
}

func (r *request) number(name string, absent int) (int, *failure) {
	text := r.query.Get(name)
	if text == "" {
		return absent, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, invalidValue("%s %q is not a number", name, text)
	}
	return n, nil
}

func invalidValue(format string, args ...any) *failure {
	f := invalid(format, args...)
	f.scim = "invalidValue"
	return f
}
