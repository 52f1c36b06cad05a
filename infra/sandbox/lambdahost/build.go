package lambdahost

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
)

// Build compiles the main package pkg of the module at dir to the file out,
// with the flags of the deployed binary and for the machine that it runs on.
// The error carries the compiler's output.
func Build(ctx context.Context, dir, pkg, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", //nolint:gosec // the arguments are the caller's own build
		"-trimpath",
		// A sandbox also runs from an archive or a checkout of another user,
		// where asking git for the revision fails.
		"-buildvcs=false",
		"-tags", "lambda.norpc",
		"-ldflags", "-s -w",
		"-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH)
	if output, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", pkg, err, output)
	}
	return nil
}
