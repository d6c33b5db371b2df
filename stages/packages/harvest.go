package packages

import (
	"context"
	"fmt"

	"github.com/osbuildkit/osbuildkit/ledger"
	"github.com/osbuildkit/osbuildkit/module"
)

// harvesting makes a part note in the ledger which extended attributes the
// tree's programs have set: systemd-tmpfiles sets access control lists, others
// attributes of users.
func harvesting(run func(context.Context, *module.Input) error) func(context.Context, *module.Input) error {
	return func(ctx context.Context, in *module.Input) error {
		if err := run(ctx, in); err != nil {
			return err
		}
		found, err := ledger.Collect(ctx, in.Ledger, in.Tree, in.Time())
		if found > 0 {
			in.Logf("%d extended attributes of files are noted in the ledger", found)
		}
		if err != nil {
			return fmt.Errorf("after the packages were configured: %w", err)
		}
		return nil
	}
}
