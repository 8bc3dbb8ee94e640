package fs

import "time"

// invalidSuffix marks the file that stands in for a broken adapter.
const invalidSuffix = ".INVALID"

// newInvalid is the file NAME.INVALID: what is wrong with the adapter, for a human.
func newInvalid(t *tree, i Invalid, now time.Time) *text {
	return newText(t, i.Name+invalidSuffix, []byte(i.Text), now)
}
