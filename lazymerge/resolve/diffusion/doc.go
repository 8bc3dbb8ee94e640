// Package diffusion finds the base tensors that an adapter for a diffusion model
// means. Such adapters name modules as one of several programs does, with dots or
// with underscores in their place, and the base, a pipeline directory or one
// checkpoint file, is named as another does: the same layers stand as one fused
// tensor in one naming and as several in the other. Underscores cannot be turned
// back into dots, so everything is looked up in a table of the base's own modules,
// under every name that they have in the namings known here.
package diffusion
