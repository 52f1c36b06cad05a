package estate

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has used.
type Usage struct {
	// Peak is the most memory that it ever had resident, in bytes.
	Peak int64
	// CPU is the time that it has run, of all its threads.
	CPU time.Duration
}

// ticks is the unit of the CPU times in /proc, a hundredth of a second on every
// Linux that Go runs on.
const ticks = time.Second / 100

// Use reads what the process of a function has used. It needs Linux's /proc.
func (e *Estate) Use(function string) (Usage, error) {
	process, ok := e.Process(function)
	if !ok {
		return Usage{}, fmt.Errorf("the function %s has no process", function)
	}
	return UseOf(process.ID)
}

// UseOf is [Estate.Use] of any process.
func UseOf(pid int) (Usage, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("memory of a process: %w", err)
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return Usage{}, fmt.Errorf("CPU time of a process: %w", err)
	}
	var u Usage
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			if err != nil {
				return u, fmt.Errorf("memory of a process: %w", err)
			}
			u.Peak = kib << 10
		}
	}
	// The name, in parentheses, may hold anything. User and system time are the
	// twelfth and thirteenth field behind it.
	_, rest, _ := strings.Cut(string(stat), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 || u.Peak == 0 {
		return u, errors.New("/proc does not tell what a process has used")
	}
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return u, fmt.Errorf("CPU time of a process: %w", err)
		}
		u.CPU += time.Duration(n) * ticks
	}
	return u, nil
}
