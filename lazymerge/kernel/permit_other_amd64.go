//go:build !linux && !purego

package kernel

import "errors"

func permitTiles() error { return errors.ErrUnsupported }
