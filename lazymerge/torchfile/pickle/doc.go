// Package pickle reads Python pickles as plain values.
//
// The one idea: a pickle is a program for a small machine that builds values, and the
// only dangerous thing in it is a call. Here a class or a function is a name (Global)
// and a call is a record of it (Object). Nothing is imported, called or executed,
// whatever the pickle says, so that what nobody knows is a value like any other.
//
// Memory and work are a multiple of the bytes that were really read: lengths and counts
// that the pickle states are never believed, and what can be repeated by a reference
// (copies, keys that are tuples) is paid for from the same budget. Beyond that there is
// an absolute bound, Options.MaxMemory.
//
// A value may be nested as deeply as the pickle is long, and may hold itself: a
// list can be appended to itself. Who follows values must bound the depth.
//
// Of torch the package knows that a torch.Size is a tuple. What persistent ids and other
// functions mean is the caller's, in Options.
package pickle
