// Package fs shows merged models as a read-only directory tree, through FUSE.
//
// # The tree
//
// With one model the mountpoint is the model's directory. With several it holds a
// directory for each, and for each adapter that is broken a file NAME.INVALID which
// says what is wrong. A model's directory holds the files that lazymerge lists;
// .lorafs in it holds the report. At the root .lorafs also holds stats.json and
// metrics, made when they are opened.
//
// # The one idea
//
// Content never changes. A file's inode, size, time and bytes are fixed when its
// model is added; a model that replaces another is a set of other inodes. So the
// kernel may keep names for hours and pages for ever, nothing is invalidated but the
// names of models, and a file that is open keeps its model until it is closed.
//
// There are five kinds of nodes, a file each: directory, merged (computed by
// lazymerge), base (a file on disk shown as it is, by passthrough where permitted),
// text (bytes in memory) and control (made when opened). Nodes do no arithmetic:
// they map names to nodes, bytes to lazymerge.File.ReadAt, and errors to errno.
//
// # Dangers
//
//   - A page fault blocks a processor of the Go scheduler, a system call does not. A
//     process that maps its own mount stops for ever when as many faults are under
//     way as it has processors, or one and a garbage collection. Read one's own mount
//     with read(2) only, and never give a mount its own tree as input.
//   - The kernel refuses an ordinary open of an inode that is open by passthrough, and
//     the reverse. A base node keeps to one way while it is mounted.
//   - One backing file that the kernel refuses makes go-fuse give up passthrough for
//     the whole mount. So each file system is tried once, outside of go-fuse.
//   - Through passthrough a client sees a file on disk that is rewritten while it is
//     open as it is at that moment. Opening it again fails.
//   - The option auto_unmount makes the mount hang: fusermount3 stays, and is waited for.
//   - A handler may block, but must not hold a lock while it computes, reads or
//     notifies the kernel.
//   - A context given to a handler is used again for another request when the handler
//     returns.
//   - Goroutines that compute on every processor starve the loop that answers the
//     kernel, so the program wants more processors (GOMAXPROCS) than there are.
package fs
