package collect

import (
	"slices"
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
	"databricks-credential-rotation/shared/databricks"
)

// identity is a user or a service principal, from wherever it is known.
type identity struct {
	// person or principal is set, whichever it is.
	person    *inventory.Person
	principal *inventory.Principal
	// ofAccount tells that the account's directory has it. places are the
	// workspaces that have it.
	ofAccount bool
	places    []*place
}

// id is the SCIM id: the account's, or that of the first workspace that knew
// it.
func (i *identity) id() string {
	if i.person != nil {
		return i.person.ID
	}
	return i.principal.ID
}

// name is the user name or the application id.
func (i *identity) name() string {
	if i.person != nil {
		return i.person.UserName
	}
	return i.principal.ClientID
}

func (i *identity) assignments() map[int64]inventory.Assignment {
	if i.person != nil {
		if i.person.Assignments == nil {
			i.person.Assignments = map[int64]inventory.Assignment{}
		}
		return i.person.Assignments
	}
	if i.principal.Assignments == nil {
		i.principal.Assignments = map[int64]inventory.Assignment{}
	}
	return i.principal.Assignments
}

// assign adds to what the identity may do in a workspace.
func (i *identity) assign(workspace int64, more inventory.Assignment) {
	all := i.assignments()
	one := all[workspace]
	one.Admin = one.Admin || more.Admin
	if more.ID != "" {
		one.ID = more.ID
	}
	if len(more.Entitlements) > 0 {
		one.Entitlements = more.Entitlements
	}
	if len(more.Groups) > 0 {
		one.Groups = more.Groups
	}
	all[workspace] = one
}

// directory finds identities.
type directory struct {
	all    []*identity
	byName map[string]*identity
	byID   map[string]*identity
}

func newDirectory() directory {
	return directory{byName: map[string]*identity{}, byID: map[string]*identity{}}
}

// add returns the identity that a member of some host's directory is. Names
// are the same everywhere, ids need not be.
func (d *directory) add(m databricks.Member, automation bool, strs interner) *identity {
	key := strings.ToLower(m.Name)
	if one, ok := d.byName[key]; ok {
		return one
	}
	one := &identity{}
	id, name := strings.Clone(m.ID), strs.text(m.Name)
	if automation {
		one.principal = &inventory.Principal{ID: id, ClientID: name, Name: strs.text(m.DisplayName), Active: m.Active}
	} else {
		one.person = &inventory.Person{ID: id, UserName: name, Active: m.Active}
	}
	d.all = append(d.all, one)
	d.byName[key] = one
	d.byID[id] = one
	return one
}

// named finds an identity by its user name or application id.
func (d *directory) named(name string) (*identity, bool) {
	one, ok := d.byName[strings.ToLower(name)]
	return one, ok
}

// names are the groups' names, sorted.
func names(groups []databricks.Group) []string {
	var all []string
	for _, g := range groups {
		all = append(all, g.Name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// entitled are somebody's own entitlements and those of their groups, sorted.
func entitled(own []string, groups []databricks.Group) []string {
	all := slices.Clone(own)
	for _, g := range groups {
		all = append(all, g.Entitlements...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
