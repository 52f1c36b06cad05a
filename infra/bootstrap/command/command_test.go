package command_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
	"databricks-credential-rotation/shared/policy"
)

var update = flag.Bool("update", false, "write testdata instead of comparing with it")

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}

// Two runs, before the stack is deployed and after, and a third one by which
// nothing changes any more (invariant 8).
func TestFreshAtTheAccount(t *testing.T) {
	w := newWorld(t)
	admin := w.as(w.admin, nil)

	r := w.run(admin, "y\n", "-account-admin")
	w.expect(r, 0)
	golden(t, "fresh.txt", r.out)
	rotator := w.rotator()
	if !rotator.AccountAdmin || !rotator.Active {
		t.Errorf("the rotator is %+v", rotator)
	}

	flags := append([]string{"-account-admin"}, w.federation()...)
	w.expect(w.run(admin, "", append(flags, "-check", "-try")...), 3, "federation policy for "+w.aws.RoleARN(rotateRole))
	r = w.run(admin, "yes\n", flags...)
	w.expect(r, 0)
	golden(t, "deployed.txt", strings.ReplaceAll(r.out, w.aws.RoleARN(rotateRole), "<role>"))

	w.Faults().Reset()
	w.expect(w.run(admin, "", flags...), 0, "Nothing is to be done.")
	w.expect(w.run(admin, "", append(flags, "-yes")...), 0)
	w.expect(w.run(admin, "", append(flags, "-check", "-try")...), 0, "AWS vouches for the rotator", "RotatorClientId="+rotator.ApplicationID)
	if writes := w.writes(); writes != nil {
		t.Errorf("a set-up that was there was changed: %v", writes)
	}
	if secrets := w.Secrets(rotator.ID); len(secrets) != 0 {
		t.Errorf("the rotator has secrets: %+v", secrets)
	}
	if got := w.rotator(); got != rotator {
		t.Errorf("the rotator is %+v now", got)
	}
}

// At workspaces it is no account admin, and manages what it was told to.
func TestFreshAtWorkspaces(t *testing.T) {
	w := newWorld(t)
	admin := w.as(w.admin, nil)
	w.GrantManager(w.local.ID, w.job.ID)
	w.GrantUser(w.nobody.ID, w.job.ID)
	flags := append(w.federation(), "-workspace", "analytics", "-workspace", fmt.Sprint(w.research.ID),
		"-workspace", w.analytics.Host()+"/", "-manage", w.job.ApplicationID)

	w.expect(w.run(admin, "", append(flags, "-yes")...), 0, " AccountConsole=none\n")
	rotator := w.rotator()
	if rotator.AccountAdmin {
		t.Error("the rotator is an account admin")
	}
	if got := w.Managers(w.job.ID); len(got) != 2 || !slices.Contains(got, w.local.ID) || !slices.Contains(got, rotator.ID) {
		t.Errorf("managers of the job: %v, want the one before and the rotator", got)
	}
	w.Faults().Reset()
	w.expect(w.run(admin, "", append(flags, "-yes", "-try")...), 0, "Nothing is to be done.", "at "+w.research.Host())
	if writes := w.writes(); writes != nil {
		t.Errorf("a set-up that was there was changed: %v", writes)
	}
}

// What is printed is a policy that the functions accept, and that lets the
// rotator be the admin that it was made: the audit reports any other.
func TestPolicyForTheRotator(t *testing.T) {
	for want, flags := range map[policy.Admin][]string{
		policy.AdminAccount:   {"-account-admin", "-workspace", "research"},
		policy.AdminWorkspace: {"-workspace", "analytics"},
	} {
		w := newWorld(t)
		r := w.run(w.as(w.admin, nil), "", append(flags, "-yes")...)
		w.expect(r, 0)
		_, document, _ := strings.Cut(r.out, "\nversion: ")
		document, _, _ = strings.Cut(document, "\n\n")
		p, err := policy.Parse([]byte("version: " + document))
		if err != nil {
			t.Fatal(err)
		}
		if role, ok := p.RoleOf(w.rotator().ApplicationID); !ok || role.Admin != want {
			t.Errorf("%v: the policy's role is %+v, want admin %s", flags, role, want)
		}
	}
}

func TestFreshInOneWorkspace(t *testing.T) {
	w := newWorld(t)
	local := w.as(w.local, w.analytics)
	w.GrantManager(w.local.ID, w.job.ID)
	flags := []string{"-manage", w.job.ApplicationID, "-workspace", fmt.Sprint(w.analytics.ID)}

	w.expect(w.run(local, "y\n", flags...), 0, "RotatorClientId=")
	rotator := w.rotator()
	if got := w.Managers(w.job.ID); !slices.Contains(got, rotator.ID) {
		t.Errorf("managers of the job: %v", got)
	}
	w.expect(w.run(local, "", append(flags, "-check")...), 0)

	// The federation policy is the account's to make, so this part is left.
	r := w.run(local, "", append(append(flags, "-yes"), w.federation()...)...)
	w.expect(r, 4, "you may not create the federation policy", "it takes an account admin, logged in to the account's console")
	w.expect(w.run(w.as(w.admin, nil), "", append(append(flags, "-yes", "-try"), w.federation()...)...), 0, "AWS vouches")
	if got := w.rotator(); got != rotator {
		t.Errorf("the rotator is %+v now, and was %+v", got, rotator)
	}
}

// Whatever fails, at whichever change, before or after it is made: the next
// run goes on from what is there and ends in the one set-up (invariant 8).
func TestHalfDone(t *testing.T) {
	ops := []string{
		databrickstest.OpAccountCreatePrincipal, databrickstest.OpAccountPatchPrincipal, databrickstest.OpPutAssignment,
		databrickstest.OpAccountPutRuleSet, databrickstest.OpCreatePrincipalPolicy,
	}
	kinds := []faulttest.Kind{
		faulttest.RequestLost, faulttest.ReplyLost, faulttest.Throttled, faulttest.ServerError, faulttest.Kill, faulttest.KillAfter,
	}
	for _, op := range ops {
		for _, kind := range kinds {
			t.Run(op+" "+kind.String(), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				admin := w.as(w.admin, nil)
				flags := append(w.federation(), "-account-admin", "-workspace", "analytics", "-manage", w.job.ApplicationID, "-yes")
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w.Faults().OnKill(func(context.Context, faulttest.Call) { cancel() })
				w.Faults().Add(faulttest.Fault{Op: op, Kind: kind})
				first := w.runIn(ctx, admin, strings.NewReader(""), flags...)
				if ctx.Err() != nil && first.code == 0 {
					t.Errorf("a run that was ended says that all is done:\n%v", first)
				}
				w.Faults().Clear()
				w.expect(w.run(admin, "", append(flags, "-try")...), 0, "AWS vouches")
				rotator := w.rotator()
				if policies := w.FederationPolicies(rotator.ID); len(policies) != 1 {
					t.Errorf("federation policies: %+v", policies)
				}
				if got := w.Managers(w.job.ID); !slices.Equal(got, []int64{rotator.ID}) {
					t.Errorf("managers of the job: %v", got)
				}
			})
		}
	}
}

// What is read just after a change may be older than the change.
func TestDirectoryLags(t *testing.T) {
	w := newWorld(t)
	admin := w.as(w.admin, nil)
	w.LagReads(true)
	w.Faults().Add(faulttest.Fault{Op: databrickstest.OpAccountListPrincipals, Skip: 1, Kind: faulttest.StaleRead})
	w.expect(w.run(admin, "", append(w.federation(), "-account-admin", "-yes")...), 0)
	if w.waits == 0 {
		t.Error("it did not wait for the directory")
	}
	w.rotator()
}

// Each right that is missing is named, and what it would be for.
func TestInsufficientRights(t *testing.T) {
	t.Run("in the account", func(t *testing.T) {
		w := newWorld(t)
		for _, p := range []databrickstest.Principal{w.nobody, w.local} {
			w.Faults().Reset()
			r := w.run(w.as(p, nil), "", append(w.federation(), "-account-admin", "-yes")...)
			w.expect(r, 4, "you may not look for the service principal: it takes an account admin", "account_admin")
			if writes := w.writes(); writes != nil || len(w.rotators()) > 0 {
				t.Errorf("changed %v", writes)
			}
		}
	})
	t.Run("in a workspace", func(t *testing.T) {
		w := newWorld(t)
		r := w.run(w.as(w.nobody, w.analytics), "", "-yes")
		w.expect(r, 4, "you may not look for the service principal: it takes an admin of the workspace "+w.analytics.Host())
		r = w.run(w.as(w.local, w.research), "", "-yes")
		w.expect(r, 1, "log in to Databricks")
	})
	t.Run("on a principal", func(t *testing.T) {
		w := newWorld(t)
		r := w.run(w.as(w.local, w.analytics), "", "-manage", w.job.ApplicationID, "-yes")
		w.expect(r, 4, "you may not grant the role service principal manager on \"nightly job\"",
			"an admin of the workspace "+w.analytics.Host()+" who has the role service principal manager on",
			"✓ made        role admin of workspace")
		// The rest was done, and only this is left.
		r = w.run(w.as(w.local, w.analytics), "", "-manage", w.job.ApplicationID, "-check")
		w.expect(r, 3, "the set-up is not complete: role service principal manager on \"nightly job\"")
		if strings.Count(r.err, "\n") != 1 {
			t.Errorf("more is missing than the one:\n%v", r)
		}
		w.GrantManager(w.local.ID, w.job.ID)
		w.expect(w.run(w.as(w.local, w.analytics), "", "-manage", w.job.ApplicationID, "-yes"), 0)
	})
	t.Run("by a group", func(t *testing.T) {
		w := newWorld(t)
		helper := w.AddGroup(databrickstest.GroupSpec{Name: "admins for an hour", AccountAdmin: true})
		w.AddMember(helper.ID, w.nobody.ID)
		w.expect(w.run(w.as(w.nobody, nil), "", "-account-admin", "-yes"), 0)
	})
}

// silence is a person who interrupts instead of answering.
type silence struct {
	interrupt func()
	test      context.Context // ends what would wait for ever
}

func (s silence) Read([]byte) (int, error) {
	s.interrupt()
	<-s.test.Done()
	return 0, io.EOF
}

// Without an agreement, and by a check, nothing changes.
func TestPlanOnly(t *testing.T) {
	w := newWorld(t)
	admin := w.as(w.admin, nil)
	flags := append(w.federation(), "-account-admin", "-workspace", "research", "-manage", w.job.ApplicationID)
	w.Faults().Reset()
	for _, answer := range []string{"", "\n", "n\n", "yes please\n"} {
		w.expect(w.run(admin, answer, flags...), 3, "nothing was changed")
	}
	ctx, cancel := context.WithCancel(t.Context())
	w.expect(w.runIn(ctx, admin, silence{cancel, t.Context()}, flags...), 3, "[y/N]", "nothing was changed")
	r := w.run(admin, "", append(flags, "-check")...)
	w.expect(r, 3,
		`not complete: service principal "databricks-credential-rotation"`, "not complete: role account admin",
		"not complete: role admin of workspace research", `not complete: role service principal manager on "nightly job"`,
		"not complete: federation policy for "+w.aws.RoleARN(rotateRole))
	w.expect(w.run(w.as(w.local, w.analytics), "", append(w.federation(), "-check")...), 4, "you may not see the federation policy", "not complete: role admin")
	if writes := w.writes(); writes != nil || len(w.rotators()) > 0 {
		t.Errorf("changed %v", writes)
	}
}

// What is asked for and cannot be meant is refused before anything is sent,
// all of it at once.
func TestUsage(t *testing.T) {
	w := newWorld(t)
	admin, local := w.as(w.admin, nil), w.as(w.local, w.analytics)
	w.Faults().Reset()
	role := w.aws.RoleARN("audit")
	tests := []struct {
		args []string
		says []string
	}{
		{
			[]string{"-client-id", "X", "-manage", "Y", "-subject", "arn:aws:sts::123456789012:assumed-role/rotate/x", "-subject", "rotate", "-name", "", "now"},
			[]string{`-client-id "X"`, `-manage "Y"`, "is a session of a role", `-subject "rotate" is not the ARN`, "-subject needs -issuer", "-name is empty", `what is "now"`},
		},
		{[]string{"-account-admin", "-issuer", "https://x.tokens.sts.global.api.aws"}, []string{"-issuer needs -subject"}},
		{[]string{"-account-admin", "-issuer", "https://x/", "-subject", role}, []string{`-issuer "https://x/"`}},
		{[]string{"-account-admin", "-issuer", "x", "-subject", role}, []string{`-issuer "x"`}},
		{[]string{"-account-admin", "-check", "-yes"}, []string{"-check changes nothing"}},
		{[]string{"-account-admin", "-try"}, []string{"-try needs -issuer"}},
		{[]string{"-secret"}, []string{"-secret", "Exit codes"}},
	}
	for _, test := range tests {
		w.expect(w.run(admin, "", test.args...), 2, test.says...)
	}
	if calls := w.Faults().Calls(); len(calls) > 0 {
		t.Errorf("something was sent: %v", calls)
	}
	w.expect(w.run(admin, "", "-help"), 0, "-account-admin")
	for _, test := range []struct {
		who  credentials
		args []string
		says []string
	}{
		{admin, nil, []string{"say where the rotator is to work"}},
		{admin, []string{"-account-admin", "-manage", w.job.ApplicationID}, []string{"-manage goes with -workspace"}},
		{
			admin,
			[]string{"-workspace", "nowhere", "-workspace", "7", "-manage", "00000000-0000-4000-8000-000000000000"},
			[]string{"-workspace nowhere", "-workspace 7", "-manage 00000000"},
		},
		{local, []string{"-account-admin"}, []string{"-account-admin needs the account's console"}},
		{local, []string{"-workspace", "a", "-workspace", "b"}, []string{"knows one workspace"}},
		{local, []string{"-workspace", "research"}, []string{"-workspace research is not the one"}},
	} {
		w.expect(w.run(test.who, "", append(test.args, "-yes")...), 2, test.says...)
	}
	w.AddWorkspace("research")
	w.expect(w.run(admin, "", "-workspace", "research", "-yes"), 2, "2 workspaces have that name")
	if len(w.rotators()) > 0 {
		t.Error("a rotator was made")
	}
}

// A name is no proof of whose a service principal is.
func TestExistingPrincipal(t *testing.T) {
	const name = "databricks-credential-rotation"
	t.Run("two", func(t *testing.T) {
		w := newWorld(t)
		a := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: name})
		w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: name})
		admin := w.as(w.admin, nil)
		w.expect(w.run(admin, "", "-account-admin", "-yes"), 1, "2 service principals are named", a.ApplicationID)
		w.expect(w.run(admin, "", "-account-admin", "-yes", "-client-id", a.ApplicationID), 0, "RotatorClientId="+a.ApplicationID)
	})
	t.Run("of somebody who can be it", func(t *testing.T) {
		for what, hold := range map[string]func(*world, int64){
			"1 OAuth secrets and 0 federation policies": func(w *world, id int64) {
				if _, err := w.AddSecret(id, databrickstest.SecretSpec{}); err != nil {
					t.Fatal(err)
				}
			},
			"0 OAuth secrets and 1 federation policies": func(w *world, id int64) {
				w.AddFederationPolicy(id, databrickstest.FederationPolicy{Issuer: "https://mallory.example", Subject: "me"})
			},
		} {
			w := newWorld(t)
			it := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: name})
			w.GrantManager(w.nobody.ID, it.ID)
			hold(w, it.ID)
			admin := w.as(w.admin, nil)
			w.expect(w.run(admin, "", "-account-admin", "-yes"), 1, what, "-client-id "+it.ApplicationID)
			if got, _ := w.Principal(it.ID); got.AccountAdmin {
				t.Errorf("%s: it was made an account admin", what)
			}
			w.expect(w.run(admin, "", "-account-admin", "-yes", "-client-id", it.ApplicationID), 0,
				"managed by servicePrincipals/"+w.nobody.ApplicationID)
		}
	})
	t.Run("switched off", func(t *testing.T) {
		w := newWorld(t)
		w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: name, Inactive: true, AccountAdmin: true})
		w.expect(w.run(w.as(w.admin, nil), "", "-account-admin", "-yes"), 1, "is switched off, perhaps on purpose")
	})
	t.Run("with more than was asked for", func(t *testing.T) {
		w := newWorld(t)
		it := w.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: name, AccountAdmin: true})
		w.Assign(it.ID, w.analytics, true)
		w.AddFederationPolicy(it.ID, databrickstest.FederationPolicy{ID: "left", Issuer: "https://old.example", Subject: "rotate"})
		r := w.run(w.as(w.admin, nil), "", append(w.federation(), "-workspace", "analytics", "-yes")...)
		w.expect(r, 0, "account admin, which was not asked for", `Federation policy left lets "rotate" of https://old.example be the rotator`)
	})
	t.Run("unknown", func(t *testing.T) {
		w := newWorld(t)
		w.expect(w.run(w.as(w.admin, nil), "", "-account-admin", "-client-id", "00000000-0000-4000-8000-000000000000"), 1, "no service principal has the client id")
	})
}

// A policy of ours that somebody changed, or that is for another issuer, is put
// right; it does not get a second one beside it.
func TestPolicyIsPutRight(t *testing.T) {
	w := newWorld(t)
	admin := w.as(w.admin, nil)
	flags := append(w.federation(), "-account-admin", "-yes")
	old := slices.Clone(flags)
	old[1] = "https://0.tokens.sts.global.api.aws"
	w.expect(w.run(admin, "", old...), 0)
	w.expect(w.run(admin, "", append(old, "-try")...), 1, "as the rotator", "the rotator was denied")
	w.expect(w.run(admin, "", append(flags, "-try")...), 0, "AWS vouches")
	changed := w.FederationPolicies(w.rotator().ID)[0]
	changed.Audiences = []string{"rotation"}
	w.AddFederationPolicy(w.rotator().ID, changed)
	w.expect(w.run(admin, "", append(flags, "-try")...), 0, "made        federation policy", "AWS vouches")
	policies := w.FederationPolicies(w.rotator().ID)
	if len(policies) != 1 || policies[0].Issuer != w.aws.Issuer() || !slices.Equal(policies[0].Audiences, []string{w.AccountID()}) {
		t.Errorf("policies %+v", policies)
	}
	w.aws.DisableWebIdentity(true)
	w.expect(w.run(admin, "", append(flags, "-try")...), 1, "enable-outbound-web-identity-federation")
}

// The pages name no flag and no output of the stack that there is not.
func TestPages(t *testing.T) {
	w := newWorld(t)
	help := w.run(credentials{}, "", "-help").err
	template, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile("[ `(]-([a-z][a-z-]+)")
	found := 0
	for _, page := range []string{"../../../docs/bootstrap.md", "../../../README.md"} {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range strings.Split(strings.ReplaceAll(string(text), "\\\n", " "), "\n") {
			if !strings.Contains(line, "infra/bootstrap") && !strings.Contains(line, "`-") {
				continue
			}
			for _, flag := range flags.FindAllStringSubmatch(line, -1) {
				found++
				if !strings.Contains(help, "\n  -"+flag[1]) && flag[1] != "o" {
					t.Errorf("%s: there is no flag -%s", page, flag[1])
				}
			}
		}
	}
	for _, output := range regexp.MustCompile(`out (\w+)`).FindAllStringSubmatch(w.run(w.as(w.admin, nil), "", "-account-admin", "-yes").out, -1) {
		found++
		if !strings.Contains(string(template), "\n  "+output[1]+":\n") {
			t.Errorf("the stack has no output %s", output[1])
		}
	}
	if found < 20 {
		t.Errorf("only %d flags and outputs were found in the pages", found)
	}
}
