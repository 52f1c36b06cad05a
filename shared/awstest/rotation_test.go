package awstest_test

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"databricks-credential-rotation/shared/awstest"
)

const functionARN = "arn:aws:lambda:eu-west-1:123456789012:function:rotate"

type rotationEvent struct {
	Step               string
	SecretID           string `json:"SecretId"`
	ClientRequestToken string
	RotationToken      string
}

// rotator makes the rotation function, which fails in the steps of fail.
func (f *fleet) rotator(fail ...string) (events *[]rotationEvent, failing *[]string) {
	events = new([]rotationEvent)
	failing = &fail
	f.SetFunction(functionARN, func(ctx context.Context, payload []byte) ([]byte, error) {
		var e rotationEvent
		if err := json.Unmarshal(payload, &e); err != nil {
			return nil, err
		}
		*events = append(*events, e)
		if slices.Contains(*failing, e.Step) {
			return nil, errors.New("told to fail")
		}
		var err error
		switch e.Step {
		case "createSecret":
			_, err = f.sm.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
				SecretId: &e.SecretID, ClientRequestToken: &e.ClientRequestToken, RotationToken: &e.RotationToken,
				SecretString: aws.String("new"), VersionStages: []string{"AWSPENDING"},
			})
		case "finishSecret":
			v, _ := f.Current("a")
			_, err = f.sm.UpdateSecretVersionStage(ctx, &secretsmanager.UpdateSecretVersionStageInput{
				SecretId: &e.SecretID, VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &e.ClientRequestToken, RemoveFromVersionId: &v.ID,
			})
		}
		return nil, err
	})
	return events, failing
}

func (f *fleet) rotate(t *testing.T, change func(*secretsmanager.RotateSecretInput)) (string, error) {
	t.Helper()
	in := &secretsmanager.RotateSecretInput{SecretId: aws.String("a"), RotationLambdaARN: aws.String(functionARN)}
	if change != nil {
		change(in)
	}
	out, err := f.sm.RotateSecret(t.Context(), in)
	if err != nil {
		return "", err
	}
	return aws.ToString(out.VersionId), nil
}

func (f *fleet) mustRotate(t *testing.T, change func(*secretsmanager.RotateSecretInput)) string {
	t.Helper()
	version, err := f.rotate(t, change)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

func (f *fleet) describe(t *testing.T) *secretsmanager.DescribeSecretOutput {
	t.Helper()
	out, err := f.sm.DescribeSecret(t.Context(), &secretsmanager.DescribeSecretInput{SecretId: aws.String("a")})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

var allSteps = []string{"createSecret", "setSecret", "testSecret", "finishSecret"}

func TestRotationProtocol(t *testing.T) {
	f := newFleet(t)
	arn, err := f.CreateSecret("a", "old", nil)
	if err != nil {
		t.Fatal(err)
	}
	events, _ := f.rotator()
	token := f.mustRotate(t, nil)
	if v, ok := f.Labelled("a", "AWSPENDING"); !ok || v.ID != token || v.Value != "" {
		t.Errorf("before the first step AWSPENDING is on %+v, want an empty version %s", v, token)
	}
	if err := f.RunRotations(t.Context()); err != nil {
		t.Fatal(err)
	}
	var want []rotationEvent
	for _, step := range allSteps {
		want = append(want, rotationEvent{step, arn, token, (*events)[0].RotationToken})
	}
	if diff := cmp.Diff(want, *events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
	if n := len((*events)[0].RotationToken); n < 36 {
		t.Errorf("the RotationToken has %d characters, want at least 36", n)
	}
	if diff := cmp.Diff([]awstest.Rotation{{Token: token, Steps: allSteps}}, f.Rotations("a")); diff != "" {
		t.Errorf("rotations (-want +got):\n%s", diff)
	}
	if v, _ := f.Current("a"); v.ID != token || !cmp.Equal(v.Labels, []string{"AWSCURRENT"}) {
		t.Errorf("the current version is %+v, want %s without AWSPENDING", v, token)
	}
	if d := f.describe(t); !aws.ToTime(d.LastRotatedDate).Equal(f.now) {
		t.Errorf("LastRotatedDate is %v, want %s", d.LastRotatedDate, f.now)
	}
}

func TestFailedRotationIsRetriedOnItsToken(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "old")
	_, failing := f.rotator("testSecret")
	token := f.mustRotate(t, nil)
	if err := f.RunRotations(t.Context()); err == nil || !strings.Contains(err.Error(), "testSecret: told to fail") {
		t.Errorf("got error %v, want the step's", err)
	}
	if _, err := f.rotate(t, nil); code(err) != "InvalidRequestException" {
		t.Errorf("another rotation meanwhile: %v, want InvalidRequestException", err)
	}
	*failing = nil
	if err := f.Retry("a"); err != nil {
		t.Fatal(err)
	}
	if err := f.RunRotations(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := f.Rotations("a")
	want := []awstest.Rotation{{Token: token, Steps: allSteps[:3]}, {Token: token, Steps: allSteps}}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(awstest.Rotation{}, "Err")); diff != "" {
		t.Errorf("rotations (-want +got):\n%s", diff)
	}
	if got[0].Err == nil || got[1].Err != nil {
		t.Errorf("errors: %v, %v; want the first alone", got[0].Err, got[1].Err)
	}
	if err := f.Retry("a"); err == nil {
		t.Error("a rotation that succeeded can be retried")
	}
}

func TestRotationAttempts(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "old")
	f.rotator("setSecret")
	f.RotationAttempts(3)
	f.mustRotate(t, nil)
	if err := f.RunRotations(t.Context()); err == nil {
		t.Error("no error")
	}
	if n := len(f.Rotations("a")); n != 3 {
		t.Errorf("%d attempts, want 3", n)
	}
}

func TestRotationThatDoesNotFinish(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "old")
	f.SetFunction(functionARN, func(context.Context, []byte) ([]byte, error) { return nil, nil })
	token := f.mustRotate(t, nil)
	if err := f.RunRotations(t.Context()); err == nil {
		t.Error("a rotation whose version never became current succeeded")
	}
	if v, _ := f.Labelled("a", "AWSPENDING"); v.ID != token {
		t.Error("AWSPENDING was cleared")
	}
	if f.describe(t).LastRotatedDate != nil {
		t.Error("LastRotatedDate is set")
	}
}

func TestRotateLaterTestsAlone(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "old")
	events, _ := f.rotator()
	before := f.Versions("a")
	token := f.mustRotate(t, func(in *secretsmanager.RotateSecretInput) {
		in.RotateImmediately = aws.Bool(false)
		in.RotationRules = &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}
	})
	if v, _ := f.Labelled("a", "AWSPENDING"); v.ID != token {
		t.Errorf("during the test AWSPENDING is on %+v, want %s", v, token)
	}
	if err := f.RunRotations(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(*events) != 1 || (*events)[0].Step != "testSecret" {
		t.Errorf("events %+v, want testSecret alone", *events)
	}
	if diff := cmp.Diff(before, f.Versions("a")); diff != "" {
		t.Errorf("the test left something (-before +after):\n%s", diff)
	}
	if got := f.Rotations("a"); len(got) != 1 || !got[0].Test {
		t.Errorf("rotations %+v, want one test", got)
	}
}

func TestRotateIsIdempotentByToken(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "old")
	f.rotator()
	token := strings.Repeat("t", 32)
	for range 2 {
		f.mustRotate(t, func(in *secretsmanager.RotateSecretInput) { in.ClientRequestToken = &token })
	}
	if err := f.RunRotations(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(f.Rotations("a")); n != 1 {
		t.Errorf("%d rotations, want 1", n)
	}
	f.mustRotate(t, func(in *secretsmanager.RotateSecretInput) { in.ClientRequestToken = &token })
	if err := f.RunRotations(t.Context()); err != nil || len(f.Rotations("a")) != 1 {
		t.Errorf("a late repetition rotated again: %v", err)
	}
}

func TestRotateRefusals(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "old")
	f.rotator()
	rules := func(r types.RotationRulesType) func(*secretsmanager.RotateSecretInput) {
		return func(in *secretsmanager.RotateSecretInput) { in.RotationRules = &r }
	}
	for name, test := range map[string]struct {
		change func(*secretsmanager.RotateSecretInput)
		code   string
	}{
		"no function":      {func(in *secretsmanager.RotateSecretInput) { in.RotationLambdaARN = nil }, "InvalidRequestException"},
		"unknown function": {func(in *secretsmanager.RotateSecretInput) { in.RotationLambdaARN = aws.String(functionARN + "2") }, "AccessDeniedException"},
		"no ARN":           {func(in *secretsmanager.RotateSecretInput) { in.RotationLambdaARN = aws.String("rotate") }, "InvalidParameterException"},
		"no such secret":   {func(in *secretsmanager.RotateSecretInput) { in.SecretId = aws.String("b") }, "ResourceNotFoundException"},
		"0 days":           {rules(types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(0)}), "InvalidParameterException"},
		"too often":        {rules(types.RotationRulesType{ScheduleExpression: aws.String("rate(3 hours)")}), "InvalidParameterException"},
		"minutes":          {rules(types.RotationRulesType{ScheduleExpression: aws.String("cron(5 0 * * ? *)")}), "InvalidParameterException"},
		"nonsense":         {rules(types.RotationRulesType{ScheduleExpression: aws.String("daily")}), "InvalidParameterException"},
		"duration":         {rules(types.RotationRulesType{ScheduleExpression: aws.String("rate(1 day)"), Duration: aws.String("3 hours")}), "InvalidParameterException"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := f.rotate(t, test.change)
			wantCode(t, name, err, test.code)
		})
	}
	if d := f.describe(t); d.RotationEnabled != nil || len(d.VersionIdsToStages) != 1 {
		t.Errorf("a refused rotation changed the secret: enabled %v, versions %v", d.RotationEnabled, d.VersionIdsToStages)
	}
}

func TestNextRotationDate(t *testing.T) {
	for name, test := range map[string]struct {
		rules types.RotationRulesType
		want  string
	}{
		"days":             {types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}, "2026-03-31T12:00"},
		"rate in hours":    {types.RotationRulesType{ScheduleExpression: aws.String("rate(4 hours)")}, "2026-03-01T16:00"},
		"rate in days":     {types.RotationRulesType{ScheduleExpression: aws.String("rate(10 days)"), Duration: aws.String("3h")}, "2026-03-11T12:00"},
		"every day":        {types.RotationRulesType{ScheduleExpression: aws.String("cron(0 2 * * ? *)")}, "2026-03-02T02:00"},
		"same day":         {types.RotationRulesType{ScheduleExpression: aws.String("cron(0 23 * * ? *)")}, "2026-03-01T23:00"},
		"every 8 hours":    {types.RotationRulesType{ScheduleExpression: aws.String("cron(0 /8 * * ? *)")}, "2026-03-01T16:00"},
		"on Sundays":       {types.RotationRulesType{ScheduleExpression: aws.String("cron(0 2 ? * SUN *)")}, "2026-03-08T02:00"},
		"the 15th":         {types.RotationRulesType{ScheduleExpression: aws.String("cron(0 0 15 * ? *)")}, "2026-03-15T00:00"},
		"quarterly":        {types.RotationRulesType{ScheduleExpression: aws.String("cron(0 0 1 1/3 ? *)")}, "2026-04-01T00:00"},
		"some months":      {types.RotationRulesType{ScheduleExpression: aws.String("cron(0 6,18 1-7 JAN,JUL ? *)")}, "2026-07-01T06:00"},
		"the 29th of Feb.": {types.RotationRulesType{ScheduleExpression: aws.String("cron(0 0 29 2 ? *)")}, "2028-02-29T00:00"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFleet(t) // the clock says 2026-03-01 12:00, a Sunday
			f.create(t, "a", "old")
			f.rotator()
			f.mustRotate(t, func(in *secretsmanager.RotateSecretInput) { in.RotationRules = &test.rules })
			if err := f.RunRotations(t.Context()); err != nil {
				t.Fatal(err)
			}
			if got := aws.ToTime(f.describe(t).NextRotationDate).UTC().Format("2006-01-02T15:04"); got != test.want {
				t.Errorf("next rotation %s, want %s", got, test.want)
			}
		})
	}
}

func TestPutByHandCountsAsRotation(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "old")
	f.rotator()
	f.mustRotate(t, func(in *secretsmanager.RotateSecretInput) {
		in.RotationRules = &types.RotationRulesType{AutomaticallyAfterDays: aws.Int64(30)}
	})
	if err := f.RunRotations(t.Context()); err != nil {
		t.Fatal(err)
	}
	rotated := f.now
	f.now = f.now.AddDate(0, 0, 10)
	f.put(t, "a", "by hand")
	d := f.describe(t)
	if want := f.now.AddDate(0, 0, 30); !aws.ToTime(d.NextRotationDate).Equal(want) {
		t.Errorf("NextRotationDate is %v, want %s", d.NextRotationDate, want)
	}
	if !aws.ToTime(d.LastRotatedDate).Equal(rotated) {
		t.Errorf("LastRotatedDate is %v, want %s", d.LastRotatedDate, rotated)
	}
}

func TestCancelledRotationDoesNotRun(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "old")
	events, _ := f.rotator()
	token := f.mustRotate(t, nil)
	out, err := f.sm.CancelRotateSecret(t.Context(), &secretsmanager.CancelRotateSecretInput{SecretId: aws.String("a")})
	if err != nil || aws.ToString(out.VersionId) != token {
		t.Errorf("got version %v, %v; want %s", out.VersionId, err, token)
	}
	if err := f.RunRotations(t.Context()); err != nil || len(*events) > 0 {
		t.Errorf("it ran: %v, %v", *events, err)
	}
}

func TestBackground(t *testing.T) {
	s := awstest.New(awstest.Config{})
	if _, err := s.CreateSecret("a", "old", nil); err != nil {
		t.Fatal(err)
	}
	called := make(chan string, 4)
	s.SetFunction(functionARN, func(_ context.Context, payload []byte) ([]byte, error) {
		called <- string(payload)
		return nil, errors.New("told to fail")
	})
	s.Background(true)
	client := secretsmanager.NewFromConfig(s.Config())
	in := &secretsmanager.RotateSecretInput{SecretId: aws.String("a"), RotationLambdaARN: aws.String(functionARN)}
	if _, err := client.RotateSecret(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	select {
	case payload := <-called:
		if !strings.Contains(payload, `"Step":"createSecret"`) {
			t.Errorf("the first call is %s", payload)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("RotateSecret did not call the function")
	}
	s.Close()
	if got := s.Rotations("a"); len(got) != 1 || got[0].Err == nil {
		t.Errorf("after Close there are rotations %+v, want one that failed", got)
	}
}

func TestLabelsThatARotationNeeds(t *testing.T) {
	f := newFleet(t)
	f.create(t, "a", "old")
	f.rotator("createSecret")
	token := f.mustRotate(t, nil)
	if err := f.RunRotations(t.Context()); err == nil {
		t.Fatal("the rotation was told to fail")
	}
	v, _ := f.Current("a")
	_, err := f.sm.UpdateSecretVersionStage(t.Context(), &secretsmanager.UpdateSecretVersionStageInput{
		SecretId: aws.String("a"), VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: &token, RemoveFromVersionId: &v.ID,
	})
	wantCode(t, "AWSCURRENT to an empty version", err, "InvalidRequestException")
	_, err = f.sm.GetSecretValue(t.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("a"), VersionId: &token})
	wantCode(t, "read of an empty version", err, "ResourceNotFoundException")
}
