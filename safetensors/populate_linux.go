package safetensors

import (
	"errors"

	"golang.org/x/sys/unix"
)

// populateRead faults pages in inside a system call, which releases the
// scheduler's P, and which returns EFAULT where touching would raise SIGBUS.
// b begins at a page and is not empty.
func populateRead(b []byte) error {
	for {
		err := unix.Madvise(b, unix.MADV_POPULATE_READ)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
