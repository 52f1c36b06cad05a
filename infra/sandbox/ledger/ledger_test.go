package ledger_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/infra/sandbox/ledger"
	"databricks-credential-rotation/shared/databrickstest"
	"databricks-credential-rotation/shared/faulttest"
)

const (
	role      = "arn:aws:iam::123456789012:role/rotate"
	rotator   = "rotator-app"
	principal = "4711"
	client    = "client-app"
	secret    = "etl/ingest"
)

// record has an injector see calls.
func record(i *faulttest.Injector, calls ...faulttest.Call) {
	for _, call := range calls {
		i.Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", http.NoBody), call, nil, http.NotFoundHandler())
	}
}

func aws(caller, service, op, target string, read bool) faulttest.Call {
	return faulttest.Call{Caller: caller, Service: service, Op: op, Target: target, Read: read}
}

func dbx(caller, op, target string, read bool) faulttest.Call {
	return faulttest.Call{Caller: caller, Service: "databricks", Op: op, Target: target, Read: read}
}

func TestPage(t *testing.T) {
	var databricks, secretsManager faulttest.Injector
	readers := map[string]int{client: 7}
	book := ledger.Book{
		Databricks: &databricks, AWS: &secretsManager, Role: role, Rotator: rotator,
		Readers: func() map[string]int { return readers },
	}
	// What was before the page does not count.
	record(&secretsManager, aws(role, "secretsmanager", "PutSecretValue", secret, false))
	record(&databricks, dbx(rotator, databrickstest.OpAccountDeleteSecret, principal, false))
	page := book.Open()

	record(&secretsManager,
		aws(role, "secretsmanager", "ListSecrets", "", true),
		aws(role, "secretsmanager", "BatchGetSecretValue", "", true),
		aws(role, "sts", "GetWebIdentityToken", "", true),
		aws(role, "secretsmanager", "DescribeSecret", secret, true),
		aws(role, "secretsmanager", "PutSecretValue", secret, false),
		aws("somebody else", "secretsmanager", "GetSecretValue", secret, true),
		aws("somebody else", "secretsmanager", "PutSecretValue", secret, false),
	)
	record(&databricks,
		dbx("", databrickstest.OpWorkspaceToken, rotator, true),
		dbx(rotator, databrickstest.OpAccountListPrincipals, "", true),
		dbx(rotator, databrickstest.OpWorkspaceListPrincipals, "7001", true), // a workspace's id
		dbx(rotator, databrickstest.OpWorkspaceGetPrincipal, principal, true),
		dbx(rotator, databrickstest.OpWorkspaceListSecrets, principal, true),
		dbx(rotator, databrickstest.OpWorkspaceCreateSecret, principal, false),
		dbx("", databrickstest.OpWorkspaceToken, client, true), // an application
		dbx("", databrickstest.OpWorkspaceToken, client, true), // the proof
		dbx("", databrickstest.OpWorkspaceToken, client, true), // an application
		dbx(rotator, databrickstest.OpWorkspaceDeleteSecret, principal, false),
		dbx("somebody else", databrickstest.OpWorkspaceListSecrets, principal, true),
	)
	readers = map[string]int{client: 9}
	got := page.Close()

	want := ledger.Count{
		SharedReads: 2, Exchanges: 2, Directory: 2,
		Mutations: []string{
			"PutSecretValue " + secret,
			databrickstest.OpWorkspaceCreateSecret + " " + principal,
			databrickstest.OpWorkspaceDeleteSecret + " " + principal,
		},
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(ledger.Count{})); diff != "" {
		t.Errorf("count (-want +got):\n%s", diff)
	}
	calls := got.Of(secret, principal, client)
	wantCalls := ledger.Calls{Lists: 1, Creates: 1, Deletes: 1, Directory: 1, Proofs: 1, Reads: 1, Writes: 1}
	if diff := cmp.Diff(wantCalls, calls); diff != "" {
		t.Errorf("calls for the secret (-want +got):\n%s", diff)
	}
	if calls.BeforeRetirement() != 4 {
		t.Errorf("%d calls before retirement, want list, directory, create and proof", calls.BeforeRetirement())
	}
	if other := got.Of("another"); other != (ledger.Calls{}) {
		t.Errorf("calls for a secret that was not touched: %+v", other)
	}
}
