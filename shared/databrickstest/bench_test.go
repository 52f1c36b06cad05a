package databrickstest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"databricks-credential-rotation/shared/databrickstest"
)

// BenchmarkRequest is what one call in memory costs, all told.
func BenchmarkRequest(b *testing.B) {
	now := time.Date(2027, 3, 1, 9, 0, 0, 0, time.UTC)
	s := databrickstest.New(databrickstest.Config{Now: func() time.Time { return now }})
	admin := s.AddPrincipal(databrickstest.PrincipalSpec{AccountAdmin: true})
	secret, err := s.AddSecret(admin.ID, databrickstest.SecretSpec{})
	if err != nil {
		b.Fatal(err)
	}
	transport := s.Transport()
	send := func(method, target, body string, head http.Header) {
		r, err := http.NewRequest(method, target, strings.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		r.Header = head
		reply, err := transport.RoundTrip(r)
		if err != nil || reply.StatusCode != http.StatusOK {
			b.Fatalf("%s %s: %v, %v", method, target, reply, err)
		}
		_, _ = io.Copy(io.Discard, reply.Body)
	}
	target := fmt.Sprintf("%s/api/2.0/accounts/%s/servicePrincipals/%d/credentials/secrets", s.AccountHost(), s.AccountID(), admin.ID)
	form := url.Values{"grant_type": {"client_credentials"}, "client_id": {admin.ApplicationID}, "client_secret": {secret.Value}}.Encode()
	formHead := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
	tokenURL := s.AccountHost() + "/oidc/accounts/" + s.AccountID() + "/v1/token"
	send(http.MethodPost, tokenURL, form, formHead)
	issued := s.Issued()
	head := http.Header{"Authorization": {"Bearer " + issued[len(issued)-1]}}

	b.Run("new", func(b *testing.B) {
		for b.Loop() {
			databrickstest.New(databrickstest.Config{})
		}
	})
	b.Run("token", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			send(http.MethodPost, tokenURL, form, formHead)
		}
		s.Faults().Reset()
	})
	b.Run("list", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			send(http.MethodGet, target, "", head)
		}
		s.Faults().Reset()
	})
	b.Run("create and delete", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			send(http.MethodPost, target, `{"lifetime":"86400s"}`, head)
			all := s.Secrets(admin.ID)
			send(http.MethodDelete, target+"/"+all[len(all)-1].ID, "", head)
		}
		s.Faults().Reset()
	})
}
