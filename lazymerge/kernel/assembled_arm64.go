//go:build !purego

package kernel

// assembled lists the tiers in assembly. All processors have NEON.
func assembled() []*Tier { return []*Tier{neonShapes.tier("neon", true)} }
