package main

import (
	"os"
	"os/signal"
	"syscall"
)

// endSignals are those that end the program in order. A terminal that is closed is
// one of them, unless the caller has the program outlive it (nohup).
func endSignals() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}
