package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"lorafs/fs"
)

// closeTimeout is how long a signalled mount waits for readers to let go before it
// is detached under them.
const closeTimeout = 5 * time.Second

func serverOptions(in *inputs, allowOther bool, log *slog.Logger) fs.Options {
	return fs.Options{AllowOther: allowOther, Inputs: in.paths, Source: in.base.Ref(), Cache: in.cache.Stats, Logger: log}
}

// unmount unmounts the tree, waiting a while for those who use it. When they stay,
// or at a second signal, the tree is detached: its name is gone, and they can read
// on until this process ends.
func unmount(server *fs.Server, signals <-chan os.Signal, log *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-signals:
			cancel()
		case <-done:
		}
	}()
	err := server.Close(ctx)
	var busy *fs.BusyError
	if !errors.As(err, &busy) {
		return err
	}
	log.Warn("the mount ends while it is in use", "error", err)
	if busy.Detached {
		return nil
	}
	return server.CloseLazy()
}
