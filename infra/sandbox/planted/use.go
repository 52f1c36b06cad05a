package planted

import (
	"errors"
	"strconv"
	"time"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/usagelogtest"
)

const (
	ours  = "203.0.113.250"
	agent = "databricks-sdk-go/0.182.0 os/linux"
)

// seen has a principal do all that its role is for, once.
func (e *Estate) seen(p databrickstest.Principal, at time.Time, address, agent string) {
	for _, service := range []string{"jobs", "databrickssql"} {
		e.Log.Add(usagelogtest.Event{
			At: at, Workspace: e.clouds.Workspaces[0].ID, Address: address, Agent: agent, Identity: p.ApplicationID, Service: service, Action: "get", Status: 200,
		})
	}
}

func (e *Estate) plantUse() error {
	outside, err1 := e.add("outside", nil)
	e.seen(outside.Principal, e.now.Add(-3*day), "198.51.100.7", agent)
	e.fault("address-outside-networks", outside.id)

	curl, err2 := e.add("curl", nil)
	e.seen(curl.Principal, e.now.Add(-3*day), ours, "curl/8.9.1")
	e.fault("agent-first-seen", curl.id)

	dormant, err3 := e.add("dormant", func(m *member) { m.idle = true })
	e.seen(dormant.Principal, e.now.Add(-50*day), ours, agent)
	e.seen(dormant.Principal, e.now.Add(-2*day), ours, agent)
	e.fault("dormant-principal-awake", dormant.id)
	e.fix(func() error { e.works(dormant.Principal, dormant.role.scopes...); return nil })

	// People do these, each of them one.
	does := func(person int, rule, service, action string, times, status int, address string, params map[string]string) {
		p := e.people[person]
		for i := range times {
			e.Log.Add(usagelogtest.Event{
				At: e.now.Add(-4*day + time.Duration(i)*time.Second), Workspace: e.clouds.Workspaces[0].ID, Address: address, Agent: "Mozilla/5.0",
				Identity: p.UserName, Service: service, Action: action, Params: params, Status: status,
			})
		}
		e.fault(rule, strconv.FormatInt(p.ID, 10))
	}
	does(2, "auth-failure-burst", "accounts", "tokenLogin", 25, 401, "198.51.100.9", nil)
	e.fault("auth-failure-burst", "198.51.100.9")
	does(3, "secret-made-outside", "servicePrincipalCredentials", "create", 1, 200, ours, map[string]string{"service_principal_id": "4711"})
	does(4, "token-made-outside", "accounts", "generateDbToken", 1, 200, ours, map[string]string{"tokenId": "abc"})
	does(5, "admin-granted", "accounts", "setAdmin", 1, 200, ours, map[string]string{"targetUserName": "somebody@example.com"})
	does(6, "acl-change-burst", "accounts", "changeDatabricksSqlAcl", 25, 200, ours, nil)
	return errors.Join(err1, err2, err3)
}
