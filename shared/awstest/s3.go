package awstest

import (
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"databricks-credential-rotation/shared/faulttest"
)

// bucketServer is S3, made on first use: most tests have no bucket.
type bucketServer struct {
	backend *s3mem.Backend
	handler http.Handler
	owners  map[string]string // accounts by bucket, if not the server's
	keys    map[string]string // ARNs of customer-managed keys by bucket
}

// clock gives gofakes3 the server's time.
type clock struct{ s *Server }

func (c clock) Now() time.Time                  { return c.s.now() }
func (c clock) Since(t time.Time) time.Duration { return c.s.now().Sub(t) }

func (s *Server) s3() (*s3mem.Backend, http.Handler) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bucketServer.handler == nil {
		backend := s3mem.New(s3mem.WithTimeSource(clock{s}), s3mem.WithVersionSeed(int64(s.random.Uint64()>>1)))
		s.bucketServer.backend = backend
		// The skew check would compare a client's real clock with an
		// injected one.
		s.bucketServer.handler = gofakes3.New(backend,
			gofakes3.WithTimeSource(clock{s}), gofakes3.WithTimeSkewLimit(0)).Server()
	}
	return s.bucketServer.backend, s.bucketServer.handler
}

// CreateBucket makes a bucket, with versioning or without.
func (s *Server) CreateBucket(name string, versioned bool) error {
	backend, _ := s.s3()
	if err := backend.CreateBucket(name); err != nil {
		return fmt.Errorf("create bucket %s: %w", name, err)
	}
	if versioned {
		cfg := gofakes3.VersioningConfiguration{Status: gofakes3.VersioningEnabled}
		if err := backend.SetVersioningConfiguration(name, cfg); err != nil {
			return fmt.Errorf("version bucket %s: %w", name, err)
		}
	}
	return nil
}

// GiveBucket makes a bucket another account's.
func (s *Server) GiveBucket(bucket, account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bucketServer.owners == nil {
		s.bucketServer.owners = map[string]string{}
	}
	s.bucketServer.owners[bucket] = account
}

// EncryptBucket has a bucket encrypt its objects with a customer-managed key.
func (s *Server) EncryptBucket(bucket, keyARN string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bucketServer.keys == nil {
		s.bucketServer.keys = map[string]string{}
	}
	s.bucketServer.keys[bucket] = keyARN
}

// Objects returns the newest version of every object of a bucket by its key,
// past all faults and permissions.
func (s *Server) Objects(bucket string) (map[string][]byte, error) {
	backend, _ := s.s3()
	list, err := backend.ListBucket(bucket, &gofakes3.Prefix{}, gofakes3.ListBucketPage{})
	if err != nil {
		return nil, fmt.Errorf("list bucket %s: %w", bucket, err)
	}
	objects := map[string][]byte{}
	for _, item := range list.Contents {
		object, err := backend.GetObject(bucket, item.Key, nil)
		if err != nil {
			return nil, fmt.Errorf("get %s from bucket %s: %w", item.Key, bucket, err)
		}
		body, err := io.ReadAll(object.Contents)
		if err != nil {
			return nil, fmt.Errorf("read %s from bucket %s: %w", item.Key, bucket, err)
		}
		objects[item.Key] = body
	}
	return objects, nil
}

func (s *Server) serveS3(w http.ResponseWriter, r *http.Request) {
	r = pathStyle(r)
	bucket, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	op := s3Operation(r.Method, r.URL.Query(), r.Header, bucket, key)
	call := faulttest.Call{Service: "s3", Op: op, Target: bucket, Read: r.Method == http.MethodGet || r.Method == http.MethodHead}
	if key != "" {
		call.Target += "/" + key
	}
	caller, known := s.caller(r)
	call.Caller = caller
	throttle := func(w http.ResponseWriter, _ time.Duration) {
		writeS3Failure(w, r, fail(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate."))
	}
	s.faults.Serve(w, r, call, throttle, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !known:
			writeS3Failure(w, r, fail(http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."))
			return
		case op == "":
			s.noteUnknown("s3 %s %s", r.Method, r.URL.RequestURI())
			writeS3Failure(w, r, fail(http.StatusNotImplemented, "NotImplemented", "the emulator does not know this request: %s %s", r.Method, r.URL.RequestURI()))
			return
		}
		if err := s.authorizeS3(r, caller, op, bucket, key); err != nil {
			writeS3Failure(w, r, fail(http.StatusForbidden, "AccessDenied", "%s", asFailure(err).message))
			return
		}
		if r.ContentLength >= 0 {
			// A server reads it off the wire; in memory nobody has written it.
			r.Header.Set("Content-Length", strconv.FormatInt(r.ContentLength, 10))
		}
		_, handler := s.s3()
		handler.ServeHTTP(w, r)
	}))
}

func (s *Server) authorizeS3(r *http.Request, caller, op, bucket, key string) error {
	target := bucket
	if key != "" {
		target += "/" + key
	}
	s.mu.Lock()
	decides := s.authorizer != nil
	owner, known := s.bucketServer.owners[bucket]
	use := keyUse{key: s.bucketServer.keys[bucket], service: "s3", about: map[string]string{"aws:s3:arn": s3ARN(bucket)}}
	s.mu.Unlock()
	if !decides {
		return nil
	}
	conditions := map[string][]string{}
	if known {
		conditions["aws:ResourceAccount"] = []string{owner}
	}
	access := Access{Caller: caller, Action: s3Action(op), Resource: s3ARN(target), Conditions: maps.Clone(conditions)}
	if match := r.Header.Get("If-None-Match"); match != "" {
		access.Conditions["s3:if-none-match"] = []string{match}
	}
	if err := s.authorized(r.Context(), access); err != nil {
		return err
	}
	switch op {
	case "GetObject", "HeadObject":
		backend, _ := s.s3()
		if _, err := backend.HeadObject(bucket, key); gofakes3.HasErrorCode(err, gofakes3.ErrNoSuchKey) {
			// Who may not list learns nothing of what is not there.
			return s.authorized(r.Context(), Access{Caller: caller, Action: "s3:ListBucket", Resource: s3ARN(bucket), Conditions: conditions})
		}
		use.actions = []string{"Decrypt"}
	case "PutObject":
		use.actions = []string{"GenerateDataKey"}
	}
	return s.useKey(r.Context(), caller, use)
}

func s3ARN(target string) string {
	if target == "" {
		return "*"
	}
	return "arn:aws:s3:::" + target
}

// pathStyle turns bucket.aws.test/key into aws.test/bucket/key: in memory the
// SDK puts the bucket into the host's name.
func pathStyle(r *http.Request) *http.Request {
	bucket, ok := strings.CutSuffix(r.Host, "."+memoryHost)
	if !ok {
		return r
	}
	u := *r.URL
	u.Path = "/" + bucket + u.Path
	if u.RawPath != "" {
		u.RawPath = "/" + bucket + u.RawPath
	}
	out := r.Clone(r.Context())
	out.URL, out.Host = &u, memoryHost
	out.RequestURI = u.RequestURI()
	return out
}

// s3Operation names a request as the API does, "" for what is not served.
func s3Operation(method string, query url.Values, header http.Header, bucket, key string) string {
	resource := method + " bucket"
	switch {
	case bucket == "":
		resource = method + " service"
	case key != "":
		resource = method + " object"
	}
	for _, sub := range []string{"versioning", "versions", "location", "delete"} {
		if query.Has(sub) {
			resource += "?" + sub
		}
	}
	for _, sub := range []string{"uploads", "uploadId", "acl", "policy", "tagging", "lifecycle", "encryption", "object-lock", "retention", "legal-hold", "publicAccessBlock"} {
		if query.Has(sub) {
			return ""
		}
	}
	if header.Get("X-Amz-Copy-Source") != "" {
		return map[string]string{"PUT object": "CopyObject"}[resource]
	}
	if resource == "GET bucket" && query.Get("list-type") == "2" {
		return "ListObjectsV2"
	}
	return map[string]string{
		"GET service":           "ListBuckets",
		"PUT bucket":            "CreateBucket",
		"HEAD bucket":           "HeadBucket",
		"DELETE bucket":         "DeleteBucket",
		"GET bucket":            "ListObjects",
		"GET bucket?location":   "GetBucketLocation",
		"GET bucket?versioning": "GetBucketVersioning",
		"PUT bucket?versioning": "PutBucketVersioning",
		"GET bucket?versions":   "ListObjectVersions",
		"POST bucket?delete":    "DeleteObjects",
		"GET object":            "GetObject",
		"HEAD object":           "HeadObject",
		"PUT object":            "PutObject",
		"DELETE object":         "DeleteObject",
	}[resource]
}

// s3Action is the IAM action of an operation, where the names differ.
func s3Action(op string) string {
	if action, ok := map[string]string{
		"ListBuckets":        "ListAllMyBuckets",
		"HeadBucket":         "ListBucket",
		"ListObjects":        "ListBucket",
		"ListObjectsV2":      "ListBucket",
		"ListObjectVersions": "ListBucketVersions",
		"DeleteObjects":      "DeleteObject",
		"HeadObject":         "GetObject",
		"CopyObject":         "PutObject",
	}[op]; ok {
		op = action
	}
	return "s3:" + op
}

func writeS3Failure(w http.ResponseWriter, r *http.Request, f *failure) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(f.status)
	if r.Method == http.MethodHead {
		return
	}
	body := struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: f.code, Message: f.message}
	_ = xml.NewEncoder(w).Encode(body) // the client went away
}
