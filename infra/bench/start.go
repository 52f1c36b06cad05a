package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"databricks-credential-rotation/infra/bench/estate"
	"databricks-credential-rotation/infra/sandbox/lambdahost"
	"databricks-credential-rotation/infra/sandbox/stage"
)

//go:embed python/bootstrap.py
var pythonFunction string

const (
	timesBare        = 2
	timesPython      = 1.0 / 15
	mostAfterOne     = 64 << 20
	bareName         = "bare"
	pythonName       = "python"
	functionTimeout  = time.Minute
	millisecondFloat = float64(time.Millisecond)
)

// starter is a function that can be started anew.
type starter struct {
	name string
	// refused is an event that it answers without asking anybody.
	refused string
	invoke  func(ctx context.Context, event string) error
	process func() (lambdahost.Process, bool)
	kill    func()
}

// starts are the times of one function's starts.
type starts struct{ polled, replied []time.Duration }

// start measures how the functions start, beside the smallest ones that could
// do their work.
func (b *bench) start(ctx context.Context) error {
	const scenario = "start"
	e, err := estate.Open(ctx, estate.Config{Binaries: b.binaries, Principals: 1})
	if err != nil {
		return err
	}
	defer e.Close()
	others, err := b.others(ctx, e)
	if err != nil {
		return err
	}
	all := append(ours(e), others...)
	found, err := b.startAll(ctx, all)
	if err != nil {
		return err
	}
	for _, f := range all {
		bound := func(what string, of func(starts) []time.Duration) {
			value := median(of(found[f.name]))
			name := f.name + ", exec to " + what
			if f.name == bareName || f.name == pythonName {
				b.sheet.Add(scenario, name, value, "ms")
				return
			}
			b.sheet.Add(scenario, name, value, "ms")
			b.sheet.AtMost(scenario, name+", of bare", value/median(of(found[bareName])), "ratio", timesBare)
			if python, ok := found[pythonName]; ok {
				b.sheet.AtMost(scenario, name+", of Python", value/median(of(python)), "ratio", timesPython)
			}
		}
		bound("first poll", func(s starts) []time.Duration { return s.polled })
		bound("first answer", func(s starts) []time.Duration { return s.replied })
	}
	return errors.Join(b.dead(ctx, found), b.memory(ctx, e, others))
}

// ours are the product's functions.
func ours(e *estate.Estate) []starter {
	all := make([]starter, 0, len(stage.Functions))
	for _, name := range stage.Functions {
		all = append(all, starter{
			name: name, refused: `{"action":"none"}`,
			invoke: func(ctx context.Context, event string) error {
				_, err := e.Invoke(ctx, name, []byte(event))
				return err
			},
			process: func() (lambdahost.Process, bool) { return e.Process(name) },
			kill:    func() { e.Kill(name) },
		})
	}
	return all
}

// others are the functions to compare with.
func (b *bench) others(ctx context.Context, e *estate.Estate) ([]starter, error) {
	path := filepath.Join(b.binaries, bareName, "bootstrap")
	if err := lambdahost.Build(ctx, "", "databricks-credential-rotation/infra/bench/bare", path); err != nil {
		return nil, err
	}
	paths := map[string]string{bareName: path}
	names := []string{bareName}
	if b.python == "" {
		b.say("start: Python is not compared with: -python names none that has boto3")
	} else {
		script, err := b.script()
		if err != nil {
			return nil, err
		}
		paths[pythonName] = script
		names = append(names, pythonName)
	}
	var all []starter
	for _, name := range names {
		host, err := lambdahost.Start(ctx, lambdahost.Function{
			Name: name, Path: paths[name], Env: e.AWS.Env("operator"), Timeout: functionTimeout, MemoryMB: 256, Log: os.Stderr,
		})
		if err != nil {
			return nil, err
		}
		all = append(all, starter{
			name: name, refused: `{}`,
			invoke: func(ctx context.Context, event string) error {
				_, err := host.Invoke(ctx, []byte(event))
				return err
			},
			process: host.Process, kill: host.Kill,
		})
	}
	return all, nil
}

// script writes the function in Python as a program.
func (b *bench) script() (string, error) {
	python, err := filepath.Abs(b.python)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.binaries, pythonName, "bootstrap")
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return "", err
	}
	return path, os.WriteFile(path, []byte("#!"+python+"\n"+pythonFunction), 0o700) //nolint:gosec // it is to be run
}

// startAll starts every function so many times, in turn, so that what else goes
// on at the machine meets all of them. The first round, which fills the
// system's caches, does not count.
func (b *bench) startAll(ctx context.Context, all []starter) (map[string]starts, error) {
	found := map[string]starts{}
	for round := range b.starts + 1 {
		for _, f := range all {
			f.kill()
			p, err := startOnce(ctx, f)
			if err != nil {
				return nil, fmt.Errorf("start %s: %w", f.name, err)
			}
			if round == 0 {
				continue
			}
			s := found[f.name]
			s.polled = append(s.polled, p.Polled.Sub(p.Started))
			s.replied = append(s.replied, p.Replied.Sub(p.Started))
			found[f.name] = s
		}
	}
	return found, nil
}

func startOnce(ctx context.Context, f starter) (lambdahost.Process, error) {
	var refused *lambdahost.FunctionError
	if err := f.invoke(ctx, f.refused); err != nil && !errors.As(err, &refused) {
		return lambdahost.Process{}, err
	}
	p, ok := f.process()
	if !ok {
		return p, errors.New("it has ended")
	}
	return p, nil
}

func median(list []time.Duration) float64 {
	sorted := slices.Sorted(slices.Values(list))
	return float64(sorted[len(sorted)/2]) / millisecondFloat
}

// dead measures the starts with hosts that take connections and never answer.
func (b *bench) dead(ctx context.Context, alive map[string]starts) error {
	var config net.ListenConfig
	silent, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer func() { _ = silent.Close() }()
	go hold(silent)
	url := "http://" + silent.Addr().String()
	e, err := estate.Open(ctx, estate.Config{Binaries: b.binaries, Principals: 1, Parameters: map[string]string{
		"AccountConsole": url, "UsageWarehouse": url + "/sql/1.0/warehouses/" + stage.Warehouse,
	}})
	if err != nil {
		return err
	}
	defer e.Close()
	found, err := b.startAll(ctx, ours(e))
	if err != nil {
		return err
	}
	for _, name := range stage.Functions {
		b.sheet.AtMost("start", name+", exec to first poll, host dead", median(found[name].polled), "ms", timesBare*median(alive[bareName].polled))
	}
	return nil
}

// hold takes connections and says nothing, until the listener is closed.
func hold(l net.Listener) {
	for {
		if _, err := l.Accept(); err != nil {
			return
		}
	}
}

// memory measures what each function has needed at most after one piece of its
// work.
func (b *bench) memory(ctx context.Context, e *estate.Estate, others []starter) error {
	const scenario = "memory"
	secret := e.Members[0].Name
	events := map[string]string{
		"rotate": `{"action":"sweep"}`, "audit": `{"action":"audit"}`,
		"revoke":   `{"mode":"replace","secret":"` + secret + `","reason":"measured","requested_by":"bench"}`,
		bareName:   `{"list":true}`,
		pythonName: `{"list":true}`,
	}
	e.Databricks.StatementPolls(0)
	for _, f := range append(ours(e), others...) {
		f.kill()
		if err := f.invoke(ctx, events[f.name]); err != nil {
			return fmt.Errorf("have %s do something: %w", f.name, err)
		}
		p, ok := f.process()
		if !ok {
			return fmt.Errorf("%s has ended", f.name)
		}
		used, err := estate.UseOf(p.ID)
		if err != nil {
			b.say("memory: not measured: %v", err)
			return nil
		}
		name := f.name + ", peak after one event"
		if f.name == bareName || f.name == pythonName {
			b.sheet.Add(scenario, name, float64(used.Peak)/mebibyte, "MiB")
			continue
		}
		b.sheet.AtMost(scenario, name, float64(used.Peak)/mebibyte, "MiB", mostAfterOne/mebibyte)
	}
	return e.Check()
}
