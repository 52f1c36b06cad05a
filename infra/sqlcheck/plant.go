package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"databricks-credential-rotation/functions/audit/auditing/usage"
	"databricks-credential-rotation/shared/policy"
	"databricks-credential-rotation/shared/usagelog"
	"databricks-credential-rotation/shared/usagelogtest"
)

const (
	day         = 24 * time.Hour
	background  = 9500
	allEvents   = 10_000
	principals  = 60
	people      = 30
	rotator     = "a0a0a0a0-0000-4000-8000-000000000001"
	revokedUser = "leaver@example.com"
)

var now = time.Date(2026, 6, 15, 10, 30, 0, 123_456_000, time.UTC)

type planter struct {
	log  *usagelogtest.Log
	rand *rand.Rand
}

// plant fills the log: mostly everyday work, and in it whatever a statement
// looks for, on both sides of each of its limits.
func plant(log *usagelogtest.Log) usage.Question {
	p := policy.Default()
	p.Audit.Bursts = policy.Bursts{FailedAuthentications: 10, ACLChanges: 8, Window: 10 * time.Minute}
	q := usage.Question{
		Now: now, Policy: p, Ours: []string{rotator},
		Revoked: []usage.Revocation{
			{Subject: principal(7), At: now.Add(-3 * day)},
			{Subject: principal(7), At: now.Add(-3 * day)},
			{Subject: principal(8), At: now.Add(-2 * day)},
			{Subject: principal(8), At: now.Add(-1 * day)},
			{Subject: revokedUser, At: now.Add(-30 * day)},
			{TokenID: "f00d", At: now.Add(-4 * day)},
			{Subject: "nobody@example.com", At: now.Add(-day)},
		},
	}
	pl := &planter{log: log, rand: rand.New(rand.NewPCG(1, 2))} //nolint:gosec // G404: the same events each time
	for range background {
		pl.everyday()
	}
	pl.limits()
	pl.bursts()
	pl.awakenings()
	pl.changes()
	pl.revocations()
	pl.handovers()
	for len(log.Events()) < allEvents {
		pl.everyday()
	}
	return q
}

func principal(i int) string { return fmt.Sprintf("%08x-1111-4222-8333-%012x", i, i*7919) }

func person(i int) string {
	if i == 0 {
		return "zoë.müller@example.com"
	}
	return fmt.Sprintf("user%02d@example.com", i)
}

func pick[T any](p *planter, values ...T) T { return values[p.rand.IntN(len(values))] }

func (p *planter) address() string {
	i := p.rand.IntN(200)
	switch p.rand.IntN(8) {
	case 0:
		return fmt.Sprintf("203.0.113.%d:%d", i, 1024+p.rand.IntN(60000))
	case 1:
		return fmt.Sprintf("[2001:db8::%x]:%d", i, 1024+p.rand.IntN(60000))
	case 2:
		return fmt.Sprintf("[2001:db8::%x]", i)
	case 3:
		return fmt.Sprintf("2001:db8::%x", i)
	case 4:
		return ""
	case 5:
		return pick(p, "0:0:0:0:0:0:0:1%0", "127.0.0.1", "::ffff:10.1.2.3", "10.1.2.3:443", "unknown")
	default:
		return fmt.Sprintf("203.0.113.%d", i)
	}
}

func (p *planter) agent() string {
	return pick(p, "", "databricks-sdk-go/0.182.0 go/1.26 os/linux", "databricks-sdk-go/0.181.0 go/1.25 os/linux",
		"databricks-sdk-py/0.60 python/3.11", "Apache-HttpClient/4.5.13 (Java/1.8.0_345)", `odd "agent", with 'quotes'	and a tab`,
		"Mozilla/5.0 (X11; Linux)", " leading blank", "long/"+strings.Repeat("x😀é", 100), "curl")
}

// everyday is an event of some identity somewhere in the last 70 days, of
// which the statements look at 60.
func (p *planter) everyday() {
	e := usagelogtest.Event{
		At: now.Add(-time.Duration(p.rand.Int64N(int64(70 * day)))), Workspace: int64(p.rand.IntN(4)), Address: p.address(), Agent: p.agent(),
		Status: pick(p, 200, 200, 200, 200, 0, 302, 399, 400, 403, 500),
	}
	work := pick(p, "jobs.runNow", "databrickssql.executeStatement", "unityCatalog.getTable", "clusters.create", "workspace.getStatus",
		"accounts.oidcTokenAuthorization", "accounts.tokenLogin", "accounts.login", "accounts.addPrincipalToGroup", "secrets.getSecret", "brandNew.thing")
	e.Service, e.Action, _ = strings.Cut(work, ".")
	switch i := p.rand.IntN(principals); p.rand.IntN(10) {
	case 0, 1:
		e.Identity = person(p.rand.IntN(people))
	case 2:
		e.Identity = strings.ToUpper(principal(i))
	case 3:
		e.Identity, e.Params = pick(p, "", "unknown", "System-User"), map[string]string{"user": pick(p, person(p.rand.IntN(people)), "User00@Example.com", "")}
	default:
		e.Identity = principal(i)
	}
	if e.Action == "addPrincipalToGroup" {
		e.Params = map[string]string{"targetGroupName": pick(p, "Admins", "readers", ""), "targetUserName": person(p.rand.IntN(people))}
	}
	p.log.Add(e)
}

func (p *planter) at(at time.Time, identity, work string, status int, params map[string]string) {
	service, action, _ := strings.Cut(work, ".")
	p.from("198.51.100.9", "python-requests/2.32", usagelogtest.Event{
		At: at, Identity: identity, Service: service, Action: action, Status: status, Params: params,
	})
}

func (p *planter) from(address, agent string, e usagelogtest.Event) {
	e.Workspace, e.Address, e.Agent = 1, address, agent
	p.log.Add(e)
}

// limits are events just within and just outside what is looked at.
func (p *planter) limits() {
	for i, at := range []time.Time{
		now, now.Add(-time.Microsecond), now.Add(-60 * day), now.Add(-60*day - time.Microsecond), now.Add(-7 * day), now.Add(-7*day - time.Microsecond),
	} {
		p.at(at, principal(100+i), "jobs.runNow", 200, nil)
		p.at(at, fmt.Sprintf("limit%d@example.com", i), "accounts.tokenLogin", 399, map[string]string{"tokenId": "beef"})
		p.at(at, fmt.Sprintf("limit%d@example.com", i), "accounts.generateDbToken", 200, nil)
	}
}

// bursts are of exactly as many events as are too many, and of one less; and
// of exactly the window, and a microsecond more. Some events share their time.
func (p *planter) bursts() {
	window := 10 * time.Minute
	burst := func(identity, work string, status, n int, span time.Duration, start time.Time) {
		for i := range n {
			p.at(start.Add(span*time.Duration(i)/time.Duration(n-1)), identity, work, status, nil)
		}
	}
	start := now.Add(-5 * day)
	burst("exact@example.com", "accounts.tokenLogin", 401, 10, window, start)
	burst("slow@example.com", "accounts.tokenLogin", 401, 10, window+9*time.Microsecond, start.Add(day))
	burst("nine@example.com", "accounts.login", 401, 9, time.Minute, start.Add(2*day))
	burst("same@example.com", "accounts.login", 401, 12, 0, start.Add(3*day))
	burst("twice@example.com", "accounts.mfaLogin", 403, 15, time.Minute, start)
	burst("twice@example.com", "accounts.login", 403, 15, time.Minute, start.Add(3*day))
	burst(person(3), "unityCatalog.updatePermissions", 200, 8, window, start)
	burst(person(4), "jobs.changeJobAcl", 200, 7, window, start)
	burst(person(5), "jobs.changeJobAcl", 403, 20, window, start)
	for i := range 25 {
		p.log.Add(usagelogtest.Event{
			At: start.Add(time.Duration(i) * time.Second), Address: fmt.Sprintf("192.0.2.66:%d", 2000+i), Agent: "curl/8", Identity: "unknown",
			Service: "accounts", Action: "login", Status: 401, Params: map[string]string{"user": fmt.Sprintf("guess%02d@example.com", i)},
		})
		p.from("", "", usagelogtest.Event{
			At: start.Add(2*day + time.Duration(i)*time.Second), Identity: fmt.Sprintf("nowhere%02d@example.com", i),
			Service: "accounts", Action: "login", Status: 401,
		})
	}
}

// awakenings are of principals with no other events.
func (p *planter) awakenings() {
	wake := func(i int, silence time.Duration) {
		awake := now.Add(-2 * day)
		used := usagelogtest.Event{At: awake, Identity: principal(200 + i), Service: "jobs", Action: "list"}
		p.from("203.0.113.200", "second/1", used)
		p.from("203.0.113.100", "first/1", used)
		used.At = awake.Add(time.Hour)
		p.from("203.0.113.1", "third/1", used)
		if silence > 0 {
			p.at(awake.Add(-silence), principal(200+i), "jobs.runNow", 200, nil)
			p.at(awake.Add(-silence-time.Minute), principal(200+i), "jobs.runNow", 200, nil)
			p.at(awake.Add(-time.Hour), principal(200+i), "jobs.runNow", 403, nil)
		}
	}
	wake(0, 0)
	wake(1, 30*day)
	wake(2, 30*day-time.Microsecond)
	wake(3, 45*day)
	wake(4, 59*day)
}

func (p *planter) changes() {
	at := now.Add(-day)
	params := map[string]string{"service_principal_id": "42", "lifetime": "100s"}
	p.at(at, rotator, "servicePrincipalCredentials.create", 200, params)
	p.at(at, strings.ToUpper(rotator), "servicePrincipalCredentials.create", 200, params)
	p.at(at, person(6), "servicePrincipalCredentials.create", 200, params)
	p.at(at.Add(time.Second), person(6), "servicePrincipalCredentials.create", 0, params)
	p.at(at, person(6), "servicePrincipalCredentials.create", 403, params)
	p.at(at, person(6), "servicePrincipalCredentials.create", 200, map[string]string{"service_principal_id": "", "principal": "p43"})
	p.at(at, principal(9), "accounts.generateDbToken", 200, nil)
	p.from("203.0.113.1", "", usagelogtest.Event{
		At: at, Identity: person(7), Service: "accounts", Action: "setAdmin", Params: map[string]string{"targetUserName": "mallory@example.com"},
	})
	p.at(at, person(7), "accounts.setAdmin", 200, map[string]string{"targetUserName": "mallory@example.com"})
	p.at(at, rotator, "accounts.setAccountAdmin", 200, map[string]string{"targetUserId": "77"})
	p.at(at, person(7), "accounts.addPrincipalsToGroup", 200, map[string]string{"group_name": "Account Admins", "targetUserName": "mallory@example.com"})
}

func (p *planter) revocations() {
	for _, after := range []time.Duration{-time.Minute, 0, time.Microsecond, time.Hour, time.Hour + time.Microsecond, 20 * time.Hour} {
		p.at(now.Add(-3*day+after), principal(7), "jobs.runNow", 200, nil)
		p.at(now.Add(-2*day+after), principal(8), "jobs.runNow", 200, nil)
		p.at(now.Add(-30*day+after), strings.ToUpper(revokedUser), "clusters.list", 200, nil)
		p.at(now.Add(-4*day+after), person(8), "accounts.tokenLogin", 200, map[string]string{"tokenId": "f00d"})
		p.at(now.Add(-4*day+after), person(8), "accounts.tokenLogin", 401, map[string]string{"tokenId": "f00d"})
	}
}

// handovers are credentials that were replaced: one twice, and one of a
// principal that the log does not know.
var handovers = []usagelog.Handover{
	{ClientID: principal(300), Made: now.Add(-20 * day), At: now.Add(-2 * day)},
	{ClientID: principal(300), Made: now.Add(-2 * day), At: now.Add(-day)},
	{ClientID: strings.ToUpper(principal(301)), At: now.Add(-day)},
	{ClientID: principal(302), At: now.Add(-day)},
}

// handovers are readers who got tokens on both sides of each limit: from when on
// the log is looked at, and when the successor became current.
func (p *planter) handovers() {
	token := func(at time.Time, address, agent, work string, status int, identity string, params map[string]string) {
		service, action, _ := strings.Cut(work, ".")
		p.from(address, agent, usagelogtest.Event{At: at, Identity: identity, Service: service, Action: action, Status: status, Params: params})
	}
	const mint, client = "accounts.mintOAuthToken", "accounts.workspaceInHouseOAuthClientAuthentication"
	for i, h := range handovers[:3] {
		from, id := h.At.Add(-7*day), strings.ToLower(h.ClientID)
		if h.Made.After(from) {
			from = h.Made
		}
		for j, at := range []time.Time{from.Add(-time.Microsecond), from, h.At.Add(-time.Microsecond), h.At} {
			token(at, fmt.Sprintf("192.0.2.%d:%d", 10*i+j, 1000+j), "databricks-sdk-go/0.1 x", mint, 200, id, nil)
			token(at, fmt.Sprintf("[2001:db8::%d]:443", 10*i+j), "databricks-sdk-py/0.1", client, 0, "unknown", map[string]string{"client_id": strings.ToUpper(id)})
		}
		before, after := h.At.Add(-time.Hour), h.At.Add(time.Hour)
		token(before, "192.0.2.100", "curl/8", mint, 200, id, nil) // comes back
		token(after, "192.0.2.100:99", "curl/9", mint, 200, id, nil)
		token(before, "192.0.2.101", "", client, 200, "", map[string]string{"clientId": id}) // comes back as another program
		token(after, "192.0.2.101", "curl", mint, 200, id, nil)
		token(before, "192.0.2.102", "x/1", mint, 401, id, nil)                              // was refused
		token(before, "192.0.2.103", "x/1", "accounts.oidcTokenAuthorization", 200, id, nil) // used a token
		token(before, "", "x/1", mint, 200, id, nil)
		token(before, "192.0.2.104", "databricks-credential-rotation", mint, 200, id, nil) // is ours
	}
}
