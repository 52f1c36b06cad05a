package login_test

import (
	"strings"
	"testing"

	"github.com/databricks/databricks-sdk-go/config"

	"databricks-credential-rotation/infra/bootstrap/login"
	"databricks-credential-rotation/shared/databricks"
	"databricks-credential-rotation/shared/databrickstest"
)

type loader func(*config.Config)

func (loader) Name() string                         { return "test" }
func (l loader) Configure(cfg *config.Config) error { l(cfg); return nil }

func open(t *testing.T, s *databrickstest.Server, set loader) (*login.Login, error) {
	t.Helper()
	return login.Open(t.Context(), login.Options{Loaders: []config.Loader{set}, Transport: s.Transport()})
}

func TestOpen(t *testing.T) {
	s := databrickstest.New(databrickstest.Config{})
	p := s.AddPrincipal(databrickstest.PrincipalSpec{DisplayName: "admin", AccountAdmin: true})
	secret, err := s.AddSecret(p.ID, databrickstest.SecretSpec{})
	if err != nil {
		t.Fatal(err)
	}
	byM2M := func(cfg *config.Config) {
		cfg.Host, cfg.AccountID = s.AccountHost()+"/", s.AccountID()
		cfg.ClientID, cfg.ClientSecret = p.ApplicationID, secret.Value
	}
	l, err := open(t, s, byM2M)
	if err != nil || l.Host != s.AccountHost() || l.AccountID != s.AccountID() || l.How != "oauth-m2m" {
		t.Fatalf("by client credentials: %+v, %v", l, err)
	}
	if token, err := l.TokenSource(databricks.Host{}).Token(t.Context()); err != nil || token.AccessToken == "" {
		t.Errorf("no token: %v", err)
	}
	w := s.AddWorkspace("analytics")
	if l, err = open(t, s, func(cfg *config.Config) { cfg.Host, cfg.Token = w.Host(), "dapi1" }); err != nil || l.How != "pat" || l.AccountID != s.AccountID() {
		t.Errorf("by a personal access token: %+v, %v", l, err)
	}

	for what, set := range map[string]loader{
		"a wrong secret": func(cfg *config.Config) { byM2M(cfg); cfg.ClientSecret = "dose0123456789abcdef" },
		"nothing":        func(*config.Config) {},
		"no host":        func(cfg *config.Config) { cfg.Token = "dapi1" },
		"a password":     func(cfg *config.Config) { cfg.Host, cfg.Username, cfg.Password = w.Host(), "ann", "hunter2!" },
	} {
		l, err := open(t, s, set)
		if err == nil {
			t.Errorf("%s: logged in as %+v", what, l)
			continue
		}
		for _, hidden := range []string{"dose", "dapi1", "hunter2!"} {
			if strings.Contains(err.Error(), hidden) {
				t.Errorf("%s: the error says %q (invariant 6)", what, err)
			}
		}
		if !strings.Contains(err.Error(), "log in to Databricks") {
			t.Errorf("%s: %v", what, err)
		}
	}
}
