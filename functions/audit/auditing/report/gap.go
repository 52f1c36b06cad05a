package report

import (
	"strings"

	"databricks-credential-rotation/functions/audit/auditing/inventory"
)

// Gaps are those of an inventory, with the part of the estate that each is
// in. What cannot be placed counts as the account's, on which everything
// rests.
func Gaps(inv *inventory.Inventory) []Gap {
	workspaces := map[string]int64{}
	for _, w := range inv.Workspaces {
		workspaces[w.Host] = w.ID
	}
	gaps := make([]Gap, 0, len(inv.Gaps))
	for _, g := range inv.Gaps {
		gap := Gap{Part: PartAccount, Where: g.Where, What: g.What, Why: g.Why}
		id, isWorkspace := workspaces[g.Where]
		switch where := strings.ToLower(g.Where); {
		case isWorkspace:
			gap.Part, gap.Workspace = PartWorkspace, id
		case where == "aws":
			gap.Part = PartAWS
		case strings.Contains(where, "usage"):
			gap.Part = PartUsage
		}
		gaps = append(gaps, gap)
	}
	return gaps
}
