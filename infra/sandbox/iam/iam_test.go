package iam_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"databricks-credential-rotation/infra/sandbox/iam"
	"databricks-credential-rotation/infra/sandbox/template"
	"databricks-credential-rotation/shared/awstest"
)

const (
	here    = "123456789012"
	there   = "210987654321"
	reader  = "arn:aws:iam::" + here + ":role/reader"
	foreign = "arn:aws:iam::" + there + ":role/reader"
	secret  = "arn:aws:secretsmanager:eu-west-1:" + here + ":secret:etl-AbCdEf"
	key     = "arn:aws:kms:eu-west-1:" + here + ":key/1"
)

func policy(statements ...string) string {
	return `{"Version": "2012-10-17", "Statement": [` + strings.Join(statements, ", ") + `]}`
}

func allow(rest string) string { return `{"Effect": "Allow", ` + rest + `}` }
func deny(rest string) string  { return `{"Effect": "Deny", ` + rest + `}` }

const readAll = `"Action": "secretsmanager:GetSecretValue", "Resource": "*"`

func TestDecision(t *testing.T) {
	get := awstest.Access{Caller: reader, Action: "secretsmanager:GetSecretValue", Resource: secret}
	abroad := get
	abroad.Caller = foreign
	abroad.Conditions = map[string][]string{"aws:ResourceAccount": {here}}
	shared := func(a awstest.Access, statements ...string) awstest.Access {
		a.ResourcePolicy = policy(statements...)
		return a
	}
	named := func(principal string) string { return `"Principal": {"AWS": "` + principal + `"}, ` + readAll }
	tests := map[string]struct {
		role   string
		access awstest.Access
		denied string
	}{
		"nothing":                      {policy(), get, "because no identity-based policy allows the secretsmanager:GetSecretValue action"},
		"allowed":                      {policy(allow(readAll)), get, ""},
		"another action":               {policy(allow(`"Action": "secretsmanager:GetSecret", "Resource": "*"`)), get, "no identity-based"},
		"action in another case":       {policy(allow(`"Action": "SecretsManager:getsecretvalue", "Resource": "*"`)), get, ""},
		"action with a wildcard":       {policy(allow(`"Action": "secretsmanager:Get*Val?e", "Resource": "*"`)), get, ""},
		"several actions":              {policy(allow(`"Action": ["secretsmanager:ListSecrets", "secretsmanager:GetSecretValue"], "Resource": "*"`)), get, ""},
		"resource with a wildcard":     {policy(allow(`"Action": "*", "Resource": "arn:aws:secretsmanager:*:` + here + `:secret:etl-??????"`)), get, ""},
		"another resource":             {policy(allow(`"Action": "*", "Resource": "arn:aws:secretsmanager:*:` + here + `:secret:ETL-*"`)), get, "no identity-based"},
		"resource of another account":  {policy(allow(`"Action": "*", "Resource": "arn:aws:secretsmanager:*:` + there + `:secret:*"`)), get, "no identity-based"},
		"a deny wins":                  {policy(allow(readAll), deny(`"Action": "secretsmanager:*", "Resource": "*"`)), get, "explicit deny in an identity-based policy"},
		"a deny of something else":     {policy(allow(readAll), deny(`"Action": "secretsmanager:Put*", "Resource": "*"`)), get, ""},
		"the resource allows the role": {policy(), shared(get, allow(named(reader))), ""},
		"the resource allows the account, the role nothing": {policy(), shared(get, allow(named("arn:aws:iam::"+here+":root"))), "no identity-based"},
		"the resource denies":                               {policy(allow(readAll)), shared(get, deny(`"Principal": "*", `+readAll)), "explicit deny in a resource-based policy"},
		"another account, the role allows":                  {policy(allow(readAll)), abroad, "because no resource-based policy allows the secretsmanager:GetSecretValue action"},
		"another account, the resource allows":              {policy(), shared(abroad, allow(named(foreign))), "no identity-based"},
		"another account, both allow":                       {policy(allow(readAll)), shared(abroad, allow(named(foreign))), ""},
		"another account, the resource allows all of it":    {policy(allow(readAll)), shared(abroad, allow(named("arn:aws:iam::"+there+":root"))), ""},
		"another account, by its number":                    {policy(allow(readAll)), shared(abroad, allow(named(there))), ""},
		"another account, the resource allows another":      {policy(allow(readAll)), shared(abroad, allow(named("arn:aws:iam::333333333333:root"))), "no resource-based"},
		"another account, the resource denies":              {policy(allow(readAll)), shared(abroad, allow(named(foreign)), deny(named(foreign))), "explicit deny in a resource-based policy"},
		"a resource policy that is not understood":          {policy(allow(readAll)), shared(get, `{"Effect": "Allow", "NotPrincipal": "*", `+readAll+`}`), "cannot be judged here"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := iam.New(here)
			if err := a.AddRole(test.access.Caller, test.role); err != nil {
				t.Fatal(err)
			}
			err := a.Authorize(t.Context(), test.access)
			if (err == nil) != (test.denied == "") || err != nil && !strings.Contains(err.Error(), test.denied) {
				t.Errorf("decision %v, want %q", err, test.denied)
			}
			if a.Allows(test.access) != (err == nil) {
				t.Error("Allows decides otherwise")
			}
		})
	}
	t.Run("a role that is not there", func(t *testing.T) {
		if iam.New(here).Allows(get) {
			t.Error("it may")
		}
	})
}

func TestConditions(t *testing.T) {
	tests := map[string]struct {
		condition string
		context   map[string][]string
		holds     bool
	}{
		"equal":                         {`"StringEquals": {"aws:ResourceTag/a": "x"}`, keys("aws:ResourceTag/a", "x"), true},
		"key in another case":           {`"StringEquals": {"AWS:resourceTag/a": "x"}`, keys("aws:ResourceTag/a", "x"), true},
		"one of several":                {`"StringEquals": {"aws:ResourceTag/a": ["w", "x"]}`, keys("aws:ResourceTag/a", "x"), true},
		"value in another case":         {`"StringEquals": {"aws:ResourceTag/a": "X"}`, keys("aws:ResourceTag/a", "x"), false},
		"no such key":                   {`"StringEquals": {"aws:ResourceTag/a": "x"}`, nil, false},
		"no such key, if it exists":     {`"StringEqualsIfExists": {"aws:ResourceTag/a": "x"}`, nil, true},
		"another value, if it exists":   {`"StringEqualsIfExists": {"aws:ResourceTag/a": "x"}`, keys("aws:ResourceTag/a", "y"), false},
		"equals takes no wildcard":      {`"StringEquals": {"aws:ResourceTag/a": "*"}`, keys("aws:ResourceTag/a", "x"), false},
		"like":                          {`"StringLike": {"aws:ResourceTag/a": "x*z"}`, keys("aws:ResourceTag/a", "xyz"), true},
		"not equal":                     {`"StringNotEquals": {"aws:ResourceTag/a": "x"}`, keys("aws:ResourceTag/a", "y"), true},
		"not equal to any":              {`"StringNotEquals": {"aws:ResourceTag/a": ["x", "y"]}`, keys("aws:ResourceTag/a", "y"), false},
		"not equal without a key":       {`"StringNotEquals": {"aws:ResourceTag/a": "x"}`, nil, true},
		"not like":                      {`"StringNotLike": {"aws:ResourceTag/a": "x*"}`, keys("aws:ResourceTag/a", "xy"), false},
		"ARN":                           {`"ArnLike": {"aws:SourceArn": "arn:aws:*:etl-*"}`, keys("aws:SourceArn", secret), true},
		"null":                          {`"Null": {"s3:if-none-match": "true"}`, nil, true},
		"null of what is there":         {`"Null": {"s3:if-none-match": "true"}`, keys("s3:if-none-match", "*"), false},
		"not null":                      {`"Null": {"s3:if-none-match": "false"}`, keys("s3:if-none-match", "*"), true},
		"null of an empty list":         {`"Null": {"aws:TagKeys": "true"}`, map[string][]string{"aws:TagKeys": {}}, true},
		"bool":                          {`"Bool": {"aws:SecureTransport": "false"}`, keys("aws:SecureTransport", "true"), false},
		"bool in JSON":                  {`"Bool": {"aws:SecureTransport": true}`, keys("aws:SecureTransport", "true"), true},
		"at most":                       {`"NumericLessThanEquals": {"sts:DurationSeconds": "300"}`, keys("sts:DurationSeconds", "300"), true},
		"over":                          {`"NumericLessThanEquals": {"sts:DurationSeconds": 300}`, keys("sts:DurationSeconds", "301"), false},
		"numbers are not texts":         {`"NumericLessThan": {"sts:DurationSeconds": "1000"}`, keys("sts:DurationSeconds", "900"), true},
		"at least":                      {`"NumericGreaterThanEquals": {"sts:DurationSeconds": "300"}`, keys("sts:DurationSeconds", "299"), false},
		"no number":                     {`"NumericEquals": {"sts:DurationSeconds": "300"}`, keys("sts:DurationSeconds", "many"), false},
		"all of them":                   {`"ForAllValues:StringEquals": {"aws:TagKeys": ["a", "b"]}`, map[string][]string{"aws:TagKeys": {"b", "a"}}, true},
		"all but one":                   {`"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}`, map[string][]string{"aws:TagKeys": {"a", "b"}}, false},
		"all of none":                   {`"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}`, nil, true},
		"all of none, which must be":    {`"ForAllValues:StringEquals": {"aws:TagKeys": ["a"]}, "Null": {"aws:TagKeys": "false"}`, nil, false},
		"any of them":                   {`"ForAnyValue:StringLike": {"aws:TagKeys": ["a*"]}`, map[string][]string{"aws:TagKeys": {"b", "ab"}}, true},
		"any of none":                   {`"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}`, nil, false},
		"both operators":                {`"StringEquals": {"aws:ResourceTag/a": "x"}, "Bool": {"aws:SecureTransport": "true"}`, keys("aws:ResourceTag/a", "x"), false},
		"both keys of one operator":     {`"StringEquals": {"aws:ResourceTag/a": "x", "aws:ResourceTag/b": "y"}`, keys("aws:ResourceTag/a", "x"), false},
		"the service that uses the key": {`"StringEquals": {"kms:ViaService": ["s3.x", "sqs.x"]}`, keys("kms:ViaService", "sqs.x"), true},
		"another service":               {`"StringEquals": {"kms:ViaService": ["s3.x", "sqs.x"]}`, keys("kms:ViaService", "sns.x"), false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			a := iam.New(here)
			if err := a.AddRole(reader, policy(allow(`"Action": "a:b", "Resource": "*", "Condition": {`+test.condition+`}`))); err != nil {
				t.Fatal(err)
			}
			if got := a.Allows(awstest.Access{Caller: reader, Action: "a:b", Resource: "r", Conditions: test.context}); got != test.holds {
				t.Errorf("it holds: %t, want %t", got, test.holds)
			}
		})
	}
}

func keys(key string, values ...string) map[string][]string { return map[string][]string{key: values} }

// A key's policy is asked always: without it the account's policies say nothing.
func TestKeys(t *testing.T) {
	use := awstest.Access{Caller: reader, Action: "kms:Decrypt", Resource: key, Conditions: keys("aws:ResourceAccount", here)}
	const may = `"Action": "kms:Decrypt", "Resource": "*"`
	for name, test := range map[string]struct {
		policy string
		want   bool
	}{
		"the account": {policy(allow(`"Principal": {"AWS": "arn:aws:iam::` + here + `:root"}, "Action": "kms:*", "Resource": "*"`)), true},
		"nobody":      {policy(), false},
		"another":     {policy(allow(`"Principal": {"AWS": "` + foreign + `"}, "Action": "kms:*", "Resource": "*"`)), false},
	} {
		t.Run(name, func(t *testing.T) {
			a := iam.New(here)
			if err := a.AddRole(reader, policy(allow(may))); err != nil {
				t.Fatal(err)
			}
			if err := a.SetResourcePolicy(key, test.policy); err != nil {
				t.Fatal(err)
			}
			if got := a.Allows(use); got != test.want {
				t.Errorf("allowed: %t, want %t", got, test.want)
			}
		})
	}
}

// An object is judged by its bucket's policy.
func TestBucketPolicy(t *testing.T) {
	a := iam.New(here)
	if err := a.AddRole(reader, policy(allow(`"Action": "s3:*", "Resource": "*"`))); err != nil {
		t.Fatal(err)
	}
	const trail = `"Principal": "*", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::data/trail/*", "Condition": {"Null": {"s3:if-none-match": "true"}}`
	if err := a.SetResourcePolicy("arn:aws:s3:::data", policy(deny(trail))); err != nil {
		t.Fatal(err)
	}
	put := awstest.Access{Caller: reader, Action: "s3:PutObject", Resource: "arn:aws:s3:::data/trail/1"}
	if a.Allows(put) {
		t.Error("an entry may be written over another")
	}
	put.Conditions = keys("s3:if-none-match", "*")
	if !a.Allows(put) {
		t.Error("a new entry may not be written")
	}
}

// What is not understood is refused when it is read: half a policy allows, or
// denies, by accident.
func TestStrict(t *testing.T) {
	for name, test := range map[string]struct{ statement, want string }{
		"NotAction":           {allow(`"NotAction": "a:b", "Resource": "*"`), "the field NotAction is not known"},
		"NotResource":         {allow(`"Action": "a:b", "NotResource": "*"`), "the field NotResource is not known"},
		"Principal":           {allow(`"Principal": "*", "Action": "a:b", "Resource": "*"`), "a role's policy has no Principal"},
		"no resource":         {allow(`"Action": "a:b"`), "Resource: neither a text nor a list"},
		"no action":           {allow(`"Resource": "*"`), "Action: neither a text nor a list"},
		"no such action":      {allow(`"Action": "ab", "Resource": "*"`), `"ab" is no action`},
		"effect":              {`{"Effect": "allow", "Action": "a:b", "Resource": "*"}`, "the effect is allow"},
		"policy variable":     {allow(`"Action": "a:b", "Resource": "arn:${aws:PrincipalTag/x}"`), "the policy variable in arn:${aws:PrincipalTag/x} is not known"},
		"operator":            {allow(condition(`"DateLessThan": {"aws:SourceArn": "x"}`)), "condition DateLessThan of aws:SourceArn: the operator is not known"},
		"key":                 {allow(condition(`"StringEquals": {"aws:ResourceTags/x": "x"}`)), "the key is not known"},
		"family without name": {allow(condition(`"StringEquals": {"aws:ResourceTag/": "x"}`)), "the key is not known"},
		"quantifier":          {allow(condition(`"ForSome:StringEquals": {"aws:TagKeys": "x"}`)), "the quantifier ForSome is not known"},
		"no quantifier":       {allow(condition(`"StringEquals": {"aws:TagKeys": "x"}`)), "needs ForAllValues or ForAnyValue"},
		"too much quantifier": {allow(condition(`"ForAllValues:StringEquals": {"aws:ResourceTag/x": "x"}`)), "takes no quantifier"},
		"no number":           {allow(condition(`"NumericEquals": {"sts:DurationSeconds": "x"}`)), `"x" is no number`},
		"no truth":            {allow(condition(`"Null": {"aws:TagKeys": "no"}`)), `"no" is neither true nor false`},
		"value variable":      {allow(condition(`"StringEquals": {"aws:ResourceTag/x": "${aws:username}"}`)), "the policy variable"},
	} {
		t.Run(name, func(t *testing.T) {
			err := iam.New(here).AddRole(reader, policy(test.statement))
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "statement 1: ") {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	err := iam.New(here).AddRole(reader, `{"Version": "2008-10-17", "Statements": [], "Statement": [{"Effect": "x", "Action": "a", "Resource": "*"}]}`)
	for _, want := range []string{"version is 2008-10-17", "field Statements", "effect is x", `"a" is no action`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want all faults, also %q", err, want)
		}
	}
	for name, principal := range map[string]string{"kind": `{"Federated": "x"}`, "wildcard": `{"AWS": "arn:aws:iam::*:root"}`, "text": `"me"`} {
		if err := iam.New(here).SetResourcePolicy(key, policy(allow(`"Principal": `+principal+`, "Action": "a:b", "Resource": "*"`))); err == nil {
			t.Errorf("principal by %s: no error", name)
		}
	}
}

func condition(text string) string {
	return `"Action": "a:b", "Resource": "*", "Condition": {` + text + `}`
}

// Grants are what a test of least privilege takes away one by one.
func TestGrants(t *testing.T) {
	a := iam.New(here)
	err := a.AddRole(reader, policy(
		`{"Sid": "Use", "Effect": "Allow", "Action": ["kms:Decrypt", "kms:GenerateDataKey"], "Resource": "`+key+`", "Condition": {"StringEquals": {"kms:ViaService": ["s3.x", "sqs.x"]}}}`,
		`{"Sid": "Never", "Effect": "Deny", "Action": "kms:*", "Resource": "other"}`))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, g := range a.Grants() {
		names = append(names, g.String())
	}
	want := []string{
		"reader Use kms:Decrypt " + key + " kms:ViaService=s3.x", "reader Use kms:Decrypt " + key + " kms:ViaService=sqs.x",
		"reader Use kms:GenerateDataKey " + key + " kms:ViaService=s3.x", "reader Use kms:GenerateDataKey " + key + " kms:ViaService=sqs.x",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Fatalf("grants (-want +got):\n%s", diff)
	}
	decrypt := awstest.Access{Caller: reader, Action: "kms:Decrypt", Resource: key, Conditions: keys("kms:ViaService", "s3.x")}
	for i, g := range a.Grants() {
		if got := a.Without(g).Allows(decrypt); got != (i != 0) {
			t.Errorf("without %s it is allowed: %t", g, got)
		}
	}
	decrypt.Conditions = keys("kms:ViaService", "ec2.x")
	conditions := a.Conditions()
	if len(conditions) != 1 || a.Allows(decrypt) || !a.Unconditioned(conditions[0]).Allows(decrypt) {
		t.Errorf("conditions %v: without the one of them any service may use the key", conditions)
	}
}

func TestObserve(t *testing.T) {
	a := iam.New(here)
	if err := a.AddRole(reader, policy(allow(readAll))); err != nil {
		t.Fatal(err)
	}
	var seen []string
	a.Observe(func(c iam.Call) {
		seen = append(seen, c.Action+map[bool]string{true: " allowed", false: " denied"}[c.Denied == nil])
	})
	for _, action := range []string{"secretsmanager:GetSecretValue", "secretsmanager:DeleteSecret"} {
		_ = a.Authorize(t.Context(), awstest.Access{Caller: reader, Action: action, Resource: secret})
	}
	a.Observe(nil)
	_ = a.Authorize(t.Context(), awstest.Access{Caller: reader, Action: "x:y", Resource: secret})
	if diff := cmp.Diff([]string{"secretsmanager:GetSecretValue allowed", "secretsmanager:DeleteSecret denied"}, seen); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}

const stackTemplate = `
Resources:
  Function: {Type: AWS::Serverless::Function}
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Version: "2012-10-17"
        Statement:
          - {Effect: Allow, Principal: {Service: lambda.amazonaws.com}, Action: sts:AssumeRole}
      Policies:
        - PolicyName: p
          PolicyDocument:
            Version: "2012-10-17"
            Statement:
              - {Sid: Send, Effect: Allow, Action: sns:Publish, Resource: !Ref Topic}
      EXTRA
  Topic: {Type: AWS::SNS::Topic}
  TopicPolicy:
    Type: AWS::SNS::TopicPolicy
    Properties:
      Topics: [!Ref Topic]
      PolicyDocument:
        Version: "2012-10-17"
        Statement:
          - Effect: Allow
            Principal: {Service: cloudwatch.amazonaws.com}
            Action: sns:Publish
            Resource: !Ref Topic
            Condition: {StringEquals: {aws:SourceAccount: !Ref AWS::AccountId}}
  Permission:
    Type: AWS::Lambda::Permission
    Properties: {Action: "lambda:InvokeFunction", FunctionName: !Ref Function, Principal: secretsmanager.amazonaws.com, SourceAccount: !Ref AWS::AccountId}
`

func readStack(extra string) (*iam.Account, error) {
	stack, err := template.Read([]byte(strings.Replace(stackTemplate, "EXTRA", extra, 1)), template.Setting{
		Account: here, Region: "eu-west-1", StackName: "s", Names: map[string]string{"Role": "role", "Function": "f", "Topic": "t"},
	})
	if err != nil {
		return nil, err
	}
	a := iam.New(here)
	return a, a.Read(stack)
}

func TestRead(t *testing.T) {
	a, err := readStack("")
	if err != nil {
		t.Fatal(err)
	}
	const topic, role, function = "arn:aws:sns:eu-west-1:" + here + ":t", "arn:aws:iam::" + here + ":role/role", "arn:aws:lambda:eu-west-1:" + here + ":function:f"
	from := func(account string) map[string][]string {
		return map[string][]string{"aws:SourceAccount": {account}, "aws:ResourceAccount": {here}}
	}
	for name, test := range map[string]struct {
		access awstest.Access
		want   bool
	}{
		"the role":                        {awstest.Access{Caller: role, Action: "sns:Publish", Resource: topic}, true},
		"the role, another action":        {awstest.Access{Caller: role, Action: "sns:Subscribe", Resource: topic}, false},
		"a service":                       {awstest.Access{Caller: "cloudwatch.amazonaws.com", Action: "sns:Publish", Resource: topic, Conditions: from(here)}, true},
		"a service for another account":   {awstest.Access{Caller: "cloudwatch.amazonaws.com", Action: "sns:Publish", Resource: topic, Conditions: from(there)}, false},
		"another service":                 {awstest.Access{Caller: "events.amazonaws.com", Action: "sns:Publish", Resource: topic, Conditions: from(here)}, false},
		"who may invoke":                  {awstest.Access{Caller: "secretsmanager.amazonaws.com", Action: "lambda:InvokeFunction", Resource: function, Conditions: from(here)}, true},
		"who may invoke, another account": {awstest.Access{Caller: "secretsmanager.amazonaws.com", Action: "lambda:InvokeFunction", Resource: function, Conditions: from(there)}, false},
		"who may invoke, another":         {awstest.Access{Caller: "secretsmanager.amazonaws.com", Action: "lambda:InvokeFunction", Resource: function + "2", Conditions: from(here)}, false},
	} {
		if got := a.Allows(test.access); got != test.want {
			t.Errorf("%s: allowed %t, want %t", name, got, test.want)
		}
	}
	if !a.Assumes(role, "lambda.amazonaws.com") || a.Assumes(role, "ec2.amazonaws.com") || a.Assumes(role+"2", "lambda.amazonaws.com") {
		t.Error("the role is to be assumed by Lambda alone")
	}
}

func TestReadIsStrict(t *testing.T) {
	for extra, want := range map[string]string{
		"ManagedPolicyArns: [x]": "role Role: the property ManagedPolicyArns is not known",
		"PermissionsBoundary: x": "role Role: the property PermissionsBoundary is not known",
	} {
		if _, err := readStack(extra); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", extra, err, want)
		}
	}
}

// Every policy of the stack's own template is understood.
func TestStack(t *testing.T) {
	for name, parameters := range map[string]map[string]string{
		"nothing":    {},
		"everything": {"RotatorClientId": "c", "DatabricksAccountId": "a", "PolicyKey": "p", "SecretsKeyArn": key, "CustomerManagedEncryption": "true", "Tracing": "true", "SecurityHub": "on", "ResponderArns": reader},
	} {
		stack, err := template.Open(filepath.Join("..", "..", "..", "template.yaml"), template.Setting{
			Account: here, Region: "eu-west-1", StackName: "s", Parameters: parameters,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := iam.New(here).Read(stack); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
