package main

import (
	"maps"
	"slices"

	"databricks-credential-rotation/infra/bench/estate"
)

// detail lists the calls behind the figures.
func (b *bench) detail(parts map[string]estate.Calls) {
	for _, part := range slices.Sorted(maps.Keys(parts)) {
		b.say("  %s:", part)
		for _, kind := range slices.Sorted(maps.Keys(parts[part])) {
			b.say("  %8d  %s", parts[part][kind], kind)
		}
	}
}
