// Package diagnose turns errors of the other packages into advice for users.
//
// The one idea: the other packages state facts in typed errors, and only this
// package knows what to do about them. Each fact becomes a Finding with a stable
// code; cause and cure of a code stand once, in codes.go, and every command, the
// files that stand for broken adapters and the documentation print them from there.
//
// Explaining may look at the file at fault and around it: its first bytes tell an
// empty adapter from a web page, and a checkpoint near it may be the way out. Only
// regular files are opened, and little of them is read.
//
// The package opens no model, changes nothing, and may be called concurrently.
package diagnose
