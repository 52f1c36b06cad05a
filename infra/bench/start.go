package main

import "context"

func (b *bench) start(ctx context.Context) error { return nil }
func (b *bench) queue(ctx context.Context) error { return nil }
