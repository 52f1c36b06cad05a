package awstest

import (
	"context"
	"crypto/sha256"
	"encoding/base32"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// secretAccessKey is good for every access key: signatures are not verified.
const secretAccessKey = "not-verified-by-the-emulator"

// Role returns credentials of another caller, the role of that name in the
// server's account. The same name always gives the same access key.
func (s *Server) Role(name string) aws.CredentialsProvider {
	return s.credentials(s.RoleARN(name))
}

func (s *Server) credentials(arn string) aws.CredentialsProvider {
	id := s.accessKey(arn)
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: id, SecretAccessKey: secretAccessKey, Source: "awstest"}, nil
	})
}

// ForeignRole returns credentials of a role of another account. It reaches what
// the two accounts allow, by ARN.
func (s *Server) ForeignRole(account, name string) aws.CredentialsProvider {
	return s.credentials("arn:aws:iam::" + account + ":role/" + name)
}

// RoleARN is the ARN of the role of that name, as calls by [Server.Role]
// carry it.
func (s *Server) RoleARN(name string) string {
	return "arn:aws:iam::" + s.account + ":role/" + name
}

// Env is the environment by which a child process calls this server as a
// role, in the form of [os.Environ]. Call it after [Server.Listen].
func (s *Server) Env(roleName string) []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + s.accessKey(s.RoleARN(roleName)),
		"AWS_SECRET_ACCESS_KEY=" + secretAccessKey,
		"AWS_REGION=" + s.region,
		"AWS_DEFAULT_REGION=" + s.region,
		"AWS_ENDPOINT_URL=" + s.URL(),
	}
}

func (s *Server) accessKey(roleARN string) string {
	sum := sha256.Sum256([]byte(roleARN))
	id := "AKIA" + base32.StdEncoding.EncodeToString(sum[:])[:16]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.identities[id] = roleARN
	return id
}

// Caller is the ARN of the role that a request was signed for. ok is false for
// an access key that the server did not hand out, and for a request without one.
func (s *Server) Caller(r *http.Request) (roleARN string, ok bool) { return s.caller(r) }

// caller finds the role that a request was signed for. ok is false for an
// access key that the server did not hand out, and for a request without one.
func (s *Server) caller(r *http.Request) (role string, ok bool) {
	credential := r.URL.Query().Get("X-Amz-Credential") // a presigned URL
	if header := r.Header.Get("Authorization"); header != "" {
		_, after, _ := strings.Cut(header, "Credential=")
		credential, _, _ = strings.Cut(after, ",")
	}
	id, _, _ := strings.Cut(credential, "/")
	s.mu.Lock()
	defer s.mu.Unlock()
	role, ok = s.identities[id]
	return role, ok
}
