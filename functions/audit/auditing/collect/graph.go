package collect

import (
	"slices"

	"databricks-credential-rotation/shared/databricks"
)

// graph is who is in which group, of the account or of one workspace. Groups
// may be in groups.
type graph struct {
	groups map[string]databricks.Group
	// parents are the ids of the groups that a group, or in the account a user
	// or service principal, is in by itself.
	parents map[string][]string
	// whole tells that members of all kinds are kept. A workspace's directory
	// tells with each user which groups they are in.
	whole bool
}

func newGraph(whole bool) *graph {
	return &graph{groups: map[string]databricks.Group{}, parents: map[string][]string{}, whole: whole}
}

func (g *graph) add(group databricks.Group) {
	for _, member := range group.Members {
		g.link(member, group.ID)
	}
	for _, parent := range group.Parents {
		g.link(group.ID, parent.ID)
	}
	group.Members, group.Parents = nil, nil
	g.groups[group.ID] = group
}

func (g *graph) link(member, group string) {
	if !slices.Contains(g.parents[member], group) {
		g.parents[member] = append(g.parents[member], group)
	}
}

// prune forgets the members that are no groups, where they are not needed.
func (g *graph) prune() {
	if g.whole {
		return
	}
	for id := range g.parents {
		if _, ok := g.groups[id]; !ok {
			delete(g.parents, id)
		}
	}
}

// above returns the groups that somebody is in, through others too, nearest
// first. direct are those that are known of them besides.
func (g *graph) above(id string, direct []databricks.GroupRef) []databricks.Group {
	queue := slices.Clone(g.parents[id])
	names := map[string]string{}
	for _, ref := range direct {
		names[ref.ID] = ref.Name
		if !slices.Contains(queue, ref.ID) {
			queue = append(queue, ref.ID)
		}
	}
	var all []databricks.Group
	// The queue grows while it is walked, and nothing comes into it twice, so
	// groups that contain each other end, too.
	for i := 0; i < len(queue); i++ {
		group, ok := g.groups[queue[i]]
		if !ok {
			// A group that the list left out, such as one made a moment ago.
			group = databricks.Group{ID: queue[i], Name: names[queue[i]]}
		}
		if group.Name != "" {
			all = append(all, group)
		}
		for _, parent := range g.parents[queue[i]] {
			if !slices.Contains(queue, parent) {
				queue = append(queue, parent)
			}
		}
	}
	return all
}
