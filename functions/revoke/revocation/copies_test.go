package revocation_test

import (
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"databricks-credential-rotation/functions/revoke/revocation"
	"databricks-credential-rotation/shared/estatetest"
	"databricks-credential-rotation/shared/managedsecret"
)

// Invariant 1: what is current of a managed secret that the request is not about
// stays alive, whatever carries whose fingerprint: neither the revocation ends it,
// nor a sweep because of the hold.
func TestSparesWhatAnotherHolds(t *testing.T) {
	for _, mode := range []revocation.Mode{revocation.Replace, revocation.Revoke} {
		t.Run(string(mode), func(t *testing.T) {
			inWorld(t, func(w *world) {
				operator := w.SecretsManager("operator")
				m := w.register(estatetest.Registration{Name: "etl", AccountLevel: true, Fresh: true})
				w.sweep("")
				shared := w.current(m)
				v, _ := w.AWS.Current(m.Name)
				_, err := operator.CreateSecret(w.t.Context(), &secretsmanager.CreateSecretInput{
					Name: aws.String("twin"), SecretString: &v.Value,
					Tags: []types.Tag{{Key: aws.String(managedsecret.TagKey), Value: aws.String(managedsecret.TagValue)}},
				})
				w.must(err)
				w.sweep("it holds the same OAuth secret as")
				// The person does as the error says, for etl.
				_, err = operator.PutSecretValue(w.t.Context(), &secretsmanager.PutSecretValueInput{
					SecretId: &m.Name, SecretString: aws.String(`{"DATABRICKS_HOST":"` + m.Host.URL + `","DATABRICKS_ACCOUNT_ID":"` + m.Host.AccountID + `","DATABRICKS_CLIENT_ID":"` + m.Principal.ApplicationID + `"}`),
				})
				w.must(err)
				for range 3 {
					w.sweep("")
					time.Sleep(day)
				}
				w.revoke(revocation.Request{Mode: mode, OAuthSecretID: w.current(m).OAuthSecretID}, m)
				for range 24 {
					if !w.works(m, shared.ClientSecret) {
						t.Fatal("what twin holds is dead")
					}
					time.Sleep(hour)
					_, _ = w.engine.Sweep(w.t.Context(), true, false)
				}
			})
		})
	}
}
