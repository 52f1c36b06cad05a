package fleet

import (
	"encoding/json"
	"slices"
	"time"

	"databricks-credential-rotation/shared/credential"
	"databricks-credential-rotation/shared/databrickstest"
)

// Condition is what is true of a member at one moment, by the simulators' own
// knowledge and without a call.
type Condition struct {
	// Version is the id of the version that is AWSCURRENT.
	Version string
	// Current is the id of the OAuth secret that AWSCURRENT holds, found by its
	// value; empty if it holds none that is alive.
	Current string
	// Age is how long ago that was issued.
	Age time.Duration
	// Scopes are those of the current OAuth secret.
	Scopes []string
	// Live are the ids of all OAuth secrets of the principal that are alive, in
	// the order of their creation.
	Live []string
	// Works tells whether AWSCURRENT authenticates.
	Works bool
	// Team is the value of [TeamKey].
	Team string
}

// Condition looks at a member.
func (f *Fleet) Condition(m Member) Condition {
	var c Condition
	version, _ := f.clouds.AWS.Current(m.Name)
	c.Version = version.ID
	var value map[string]string
	if json.Unmarshal([]byte(version.Value), &value) != nil {
		return c
	}
	c.Team = value[TeamKey]
	live := f.clouds.Databricks.Secrets(m.Principal.ID)
	for _, s := range live {
		c.Live = append(c.Live, s.ID)
	}
	i := slices.IndexFunc(live, func(s databrickstest.OAuthSecret) bool { return s.Value == value[credential.KeyClientSecret] })
	if i >= 0 {
		c.Current, c.Scopes = live[i].ID, live[i].Scopes
		c.Age = f.clouds.Clock.Now().Sub(live[i].CreateTime)
		c.Works = f.clouds.Databricks.Authenticates(m.Principal.ApplicationID, live[i].Value)
	}
	return c
}

// Conditions looks at all managed members, by name.
func (f *Fleet) Conditions() map[string]Condition {
	all := map[string]Condition{}
	for _, m := range f.Managed {
		all[m.Name] = f.Condition(m)
	}
	return all
}
