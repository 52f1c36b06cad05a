package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"databricks-credential-rotation/infra/bench/estate"
	"databricks-credential-rotation/infra/sandbox/lambdahost"
	"databricks-credential-rotation/infra/sandbox/stage"
)

// profiler is a file that is added to the function rotate, which itself knows
// nothing of profiles. SIGUSR1 ends the profile.
const profiler = `package main

import (
	"os"
	"os/signal"
	"runtime/pprof"
	"syscall"
)

func init() {
	f, err := os.Create(%q)
	if err != nil {
		panic(err)
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		panic(err)
	}
	end := make(chan os.Signal, 1)
	signal.Notify(end, syscall.SIGUSR1)
	go func() {
		<-end
		pprof.StopCPUProfile()
		f.Close()
	}()
}
`

// buildProfiled compiles the function rotate once more, with the profiler.
func (b *bench) buildProfiled(ctx context.Context) error {
	to, err := filepath.Abs(b.profile)
	if err != nil {
		return err
	}
	source := filepath.Join(b.binaries, "profiler.go")
	if err := os.WriteFile(source, fmt.Appendf(nil, profiler, to), 0o600); err != nil {
		return err
	}
	at, err := filepath.Abs(filepath.Join("functions", "rotate", "profiler.go"))
	if err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {at: source}})
	if err != nil {
		return err
	}
	list := filepath.Join(b.binaries, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return err
	}
	if err := os.Setenv("GOFLAGS", "-overlay="+list); err != nil {
		return err
	}
	defer func() { _ = os.Unsetenv("GOFLAGS") }()
	return lambdahost.Build(ctx, "", "./functions/rotate", stage.Binary(b.binaries, "rotate"))
}

// endProfile has the process write its profile down.
func (b *bench) endProfile(e *estate.Estate) error {
	p, ok := e.Process("rotate")
	if !ok {
		return errors.New("the profiled function has ended")
	}
	if err := syscall.Kill(p.ID, syscall.SIGUSR1); err != nil {
		return fmt.Errorf("end the profile: %w", err)
	}
	time.Sleep(time.Second) // for the file to be written
	b.say("the profile is in %s: go tool pprof -top %s", b.profile, b.profile)
	return nil
}
