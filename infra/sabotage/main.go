// Command sabotage breaks the product on purpose, one line at a time, and
// checks that the tests notice. It changes no file: each broken version is
// handed to the compiler as an overlay.
//
//	go run ./infra/sabotage
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// sabotage is one mistake that a rotator can make.
type sabotage struct {
	name string
	// file has old replaced by bad. old must occur exactly once.
	file, old, bad string
	// test must fail then, in pkg.
	pkg, test string
}

const (
	engine  = "./functions/rotate/rotation"
	client  = "./shared/databricks"
	pruning = "./functions/audit/auditing/prune"
)

var sabotages = []sabotage{
	{
		"delete before promote",
		"functions/rotate/rotation/apply.go",
		"	return next, r.store(ctx, o, next, write)\n",
		"	_ = r.Databricks.DeleteSecret(ctx, host, principal, o.Current.Credential.OAuthSecretID)\n	return next, r.store(ctx, o, next, write)\n",
		engine, "TestSweepRotatesAndRetires",
	},
	{
		"skip verification",
		"functions/rotate/rotation/apply.go",
		"if err := r.verifyNew(ctx, host, next); err != nil {",
		"if err := error(nil); err != nil {",
		engine, "TestNeverPromotesWhatIsRefused",
	},
	{
		"retry the create",
		"shared/databricks/oauthsecret.go",
		", once: true}",
		"}",
		client, "TestCreateIsOneRequest",
	},
	{
		"ignore the scopes read back",
		"functions/rotate/rotation/apply.go",
		"if err := r.checkScopes(ctx, host, principal, created, next.Scopes); err != nil {",
		"if err := error(nil); err != nil {",
		engine, "TestScopesIgnored",
	},
	{
		"forget the second page",
		"shared/databricks/page.go",
		"if next == \"\" {",
		"if true {",
		engine, "TestSweepGoesOn",
	},
	{
		"treat foreign as orphan",
		"functions/rotate/rotation/making.go",
		"ours := isOurs(o.Secret.ARN, s)",
		"ours := true",
		engine, "TestPlan",
	},
	{
		"believe the id beside a value",
		"functions/rotate/rotation/identity.go",
		"noted := ledger.Of(c.ClientSecret)\n",
		"noted := *c\n",
		engine, "TestPastedBesideAnotherId",
	},
	{
		"judge by a clock read at start-up",
		"functions/rotate/rotation/engine.go",
		"	return time.Now()\n",
		"	return startedAt()\n",
		engine, "TestSweepRotatesAndRetires",
	},
	{
		"prune without a last look",
		"functions/audit/auditing/prune/carryout.go",
		"	case keep != \"\":\n",
		"	case keep == \"never\":\n",
		pruning, "TestLooksAgain",
	},
	{
		"prune over the budget",
		"functions/audit/auditing/prune/make.go",
		"	if budget.Allows(due, m.plan.LookedAt) {\n",
		"	if budget.Allows(0, m.plan.LookedAt) {\n",
		pruning, "TestBudget",
	},
	{
		"prune what a managed secret names",
		"functions/audit/auditing/prune/make.go",
		"|| protected[s.ID] ||",
		"||",
		pruning, "TestEnforceTwice",
	},
	{
		"prune without the trail",
		"shared/trail/change.go",
		"	if err := Begin(ctx, t, *e); err != nil {\n",
		"	if err := Begin(ctx, t, *e); false && err != nil {\n",
		pruning, "TestNoTrailNoChange",
	},
}

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := os.MkdirTemp("", "sabotage")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir) //nolint:errcheck // a leftover in the temporary directory harms nobody
	var missed []error
	for i, s := range sabotages {
		started := time.Now()
		caught, err := s.try(ctx, filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		verdict := "caught by " + caught
		if caught == "" {
			verdict = "NOT CAUGHT"
			missed = append(missed, fmt.Errorf("%s: the tests still pass", s.name))
		}
		if _, err := fmt.Fprintf(out, "%-34s %s (%.1f s)\n", s.name, verdict, time.Since(started).Seconds()); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "%d sabotages, %d caught\n", len(sabotages), len(sabotages)-len(missed))
	return errors.Join(append(missed, err)...)
}

// try runs the tests on the broken code and returns the name of the first that
// failed, empty if none did.
func (s sabotage) try(ctx context.Context, dir string) (string, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", err
	}
	overlay, err := s.overlay(dir)
	if err != nil {
		return "", err
	}
	test := exec.CommandContext(ctx, "go", "test", "-count=1", "-failfast", "-overlay="+overlay, "-run="+s.test, s.pkg) //nolint:gosec // the arguments are constants above
	output, err := test.CombinedOutput()
	if err == nil {
		return "", nil
	}
	for line := range strings.Lines(string(output)) {
		if _, rest, failed := strings.Cut(line, "--- FAIL: "); failed {
			name, _, _ := strings.Cut(rest, " ")
			return name, nil
		}
	}
	return "", fmt.Errorf("the broken code does not compile or run:\n%s", output)
}

// overlay writes the broken file and the compiler's list of replacements.
func (s sabotage) overlay(dir string) (string, error) {
	source, err := os.ReadFile(s.file)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), s.old); n != 1 {
		return "", fmt.Errorf("%q occurs %d times in %s, not once: the code has moved on, and so must this sabotage", s.old, n, s.file)
	}
	broken := strings.Replace(string(source), s.old, s.bad, 1)
	if strings.Contains(s.bad, "startedAt()") {
		broken += "\nvar startedAt = sync.OnceValue(time.Now)\n"
	}
	path, err := filepath.Abs(s.file)
	if err != nil {
		return "", err
	}
	replaced := filepath.Join(dir, filepath.Base(s.file))
	if err := os.WriteFile(replaced, []byte(broken), 0o600); err != nil { //nolint:gosec // a file of this program's own directory
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: replaced}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o600)
}
