//go:build !(amd64 || arm64) || purego

package kernel

// assembled lists the tiers in assembly: none.
func assembled() []*Tier { return nil }
