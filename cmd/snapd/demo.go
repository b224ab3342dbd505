package main

import "context"

type demoCmd struct{}
func (c *demoCmd) run(ctx context.Context, a *app) error { return nil }
