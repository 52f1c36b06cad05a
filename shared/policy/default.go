package policy

import "time"

// Default suits a fleet whose readers restart daily. It removes nothing but
// what the rotation has replaced.
func Default() Policy {
	return Policy{
		Interval: 30 * day,
		Grace:    1 * day,
		Lifetime: 90 * day,
		Audit: Audit{
			MaxSecretAge:       90 * day,
			ExpiringWithin:     14 * day,
			MaxTokenLifetime:   90 * day,
			MaxAccessTokenTTL:  time.Hour,
			MaxRefreshTokenTTL: 7 * day,
			UnusedAfter:        30 * day,
			DormantAfter:       30 * day,
			BroadScopes:        []string{"all-apis", "access-management", "authentication", "scim"},
			Bursts:             Bursts{FailedAuthentications: 20, ACLChanges: 20, Window: 10 * time.Minute},
		},
		Prune: Prune{
			Mode:           Report,
			RightSize:      Report,
			UnusedAfter:    60 * day,
			NeverUsedAfter: 30 * day,
			Notice:         14 * day,
		},
		Budgets: Budgets{
			Rotate: Budget{Count: 50, Share: 0.2},
			Prune:  Budget{Count: 100, Share: 0.1},
		},
	}
}
