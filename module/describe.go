//go:build !linux || describe_only

package module

import (
	"context"
	"errors"
)

// Does stands in for what a module does.
func Does(func(ctx context.Context, in *Input) error) func(ctx context.Context, in *Input) error {
	return describeOnly
}

func describeOnly(context.Context, *Input) error {
	return errors.New("this program describes modules and runs none")
}
