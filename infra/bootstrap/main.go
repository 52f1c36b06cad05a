// Command bootstrap sets the rotator up in Databricks, or checks its set-up. It
// only wires; see docs/bootstrap.md.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"databricks-credential-rotation/infra/bootstrap/command"
	"databricks-credential-rotation/shared/rotator"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	c := &command.Command{
		In: os.Stdin, Out: os.Stdout, Err: os.Stderr,
		STS: func(ctx context.Context) (rotator.STS, error) {
			cfg, err := awsconfig.LoadDefaultConfig(ctx)
			if err != nil {
				return nil, err
			}
			return sts.NewFromConfig(cfg), nil
		},
	}
	code := c.Run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
