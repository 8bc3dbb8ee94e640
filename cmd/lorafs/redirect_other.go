//go:build !linux

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// redirect makes descriptor fd a copy of f.
func redirect(f *os.File, fd int) error { return unix.Dup2(int(f.Fd()), fd) }
