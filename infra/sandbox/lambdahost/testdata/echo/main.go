// Command echo is a Lambda function that behaves as its event asks.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type event struct {
	Do    string        `json:"do"`
	Text  string        `json:"text"`
	Sleep time.Duration `json:"sleep"`
}

type reply struct {
	Text      string        `json:"text"`
	PID       int           `json:"pid"`
	Count     int           `json:"count"`
	Env       []string      `json:"env,omitempty"`
	RequestID string        `json:"requestId"`
	ARN       string        `json:"arn"`
	TraceID   string        `json:"traceId"`
	Left      time.Duration `json:"left"`
}

type refusedError struct{ text string }

func (e *refusedError) Error() string { return e.text }

var count int

func handle(ctx context.Context, e event) (reply, error) {
	count++
	deadline, _ := ctx.Deadline()
	left := time.Until(deadline)
	call, _ := lambdacontext.FromContext(ctx)
	out := reply{
		Text: e.Text, PID: os.Getpid(), Count: count,
		RequestID: call.AwsRequestID, ARN: call.InvokedFunctionArn,
		TraceID: os.Getenv("_X_AMZN_TRACE_ID"), Left: left,
	}
	switch e.Do {
	case "echo":
	case "env":
		out.Env = os.Environ()
	case "log":
		fmt.Println(e.Text)
	case "error":
		return reply{}, &refusedError{e.Text}
	case "panic":
		panic(e.Text)
	case "exit":
		os.Exit(3)
	case "sleep":
		time.Sleep(e.Sleep)
	case "large":
		out.Text = strings.Repeat("x", 6<<20)
	case "ask again":
		go func() {
			url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/next"
			if answer, err := http.Get(url); err == nil {
				_ = answer.Body.Close()
			}
		}()
		time.Sleep(e.Sleep)
	case "late":
		go func() {
			time.Sleep(e.Sleep)
			os.Exit(4)
		}()
	default:
		return reply{}, errors.New("unknown event")
	}
	return out, nil
}

func main() {
	switch os.Getenv("INIT") {
	case "exit":
		os.Exit(5)
	case "error":
		url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/init/error"
		body := strings.NewReader(`{"errorType":"Config","errorMessage":"no host"}`)
		answer, err := http.Post(url, "application/json", body)
		if err != nil {
			panic(err)
		}
		_ = answer.Body.Close()
		os.Exit(6)
	case "wrong id":
		url := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/other/response"
		answer, err := http.Post(url, "application/json", strings.NewReader(`"forged"`))
		if err != nil {
			panic(err)
		}
		_ = answer.Body.Close()
		fmt.Println("status", answer.StatusCode)
	}
	lambda.Start(handle)
}
