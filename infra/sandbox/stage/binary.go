package stage

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"databricks-credential-rotation/infra/sandbox/lambdahost"
)

// module is the path under which the functions are built. An import path is
// good in every directory of the module.
const module = "databricks-credential-rotation"

// Functions are the Lambda functions of the product.
var Functions = []string{"rotate", "audit", "revoke"}

// Binary is where [Build] puts a function's binary.
func Binary(dir, function string) string { return filepath.Join(dir, function, "bootstrap") }

// Build compiles the functions into dir, all at once.
func Build(ctx context.Context, dir string) error {
	var (
		building sync.WaitGroup
		errs     = make([]error, len(Functions))
	)
	for i, name := range Functions {
		building.Go(func() {
			errs[i] = lambdahost.Build(ctx, "", module+"/functions/"+name, Binary(dir, name))
		})
	}
	building.Wait()
	return errors.Join(errs...)
}
