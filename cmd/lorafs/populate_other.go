//go:build !linux

package main

import "errors"

func populate() error { return errors.ErrUnsupported }
