package trail

import (
	"context"
	"errors"
	"fmt"
)

// ErrUnwritten is wrapped by an error that says that an entry could not be
// written.
var ErrUnwritten = errors.New("the trail cannot be written")

// Begin writes the entry before a change, which is not to be made if that
// fails.
func Begin(ctx context.Context, t Trail, e Entry) error {
	e.Phase = Before
	if err := t.Record(ctx, e); err != nil {
		return fmt.Errorf("%w, so nothing is changed: %w", ErrUnwritten, err)
	}
	return nil
}

// End writes the entry after a change, also if the run is being cut off.
func End(ctx context.Context, t Trail, e Entry) error {
	e.Phase = After
	if err := t.Record(context.WithoutCancel(ctx), e); err != nil {
		return fmt.Errorf("%w, so it does not tell how the change ended: %w", ErrUnwritten, err)
	}
	return nil
}

// Change makes a change between its two entries. What the change learns, such
// as the id of what it has made, it may put into e for the second one. The error
// is the change's own, with that of the second entry if there is one; after an
// error of the first entry the change was not made.
func Change(ctx context.Context, t Trail, e *Entry, change func() error) error {
	if err := Begin(ctx, t, *e); err != nil {
		return err
	}
	e.Err = change()
	if err := End(ctx, t, *e); err != nil {
		return errors.Join(e.Err, err)
	}
	return e.Err
}
