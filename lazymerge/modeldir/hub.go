package modeldir

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sort"
	"strings"
)

// hubID is `name`, `org/name`, either with `@revision`.
var hubID = regexp.MustCompile(`^([\w.-]+/)?[\w.-]+(@[^@]+)?$`)

// hubBlob is a path below the cache directory that only a blob can have.
var hubBlob = regexp.MustCompile(`^models--[^/]+/blobs/([0-9a-f]{40}|[0-9a-f]{64})$`)

// hubCache is where the hub client keeps its files: the same variables in the same
// order as in huggingface_hub. It is "" when there is no home directory.
func hubCache() string {
	for _, v := range []string{"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"} {
		if dir := os.Getenv(v); dir != "" {
			return expandHome(os.ExpandEnv(dir))
		}
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(expandHome(os.ExpandEnv(dir)), "hub")
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(expandHome(os.ExpandEnv(dir)), "huggingface", "hub")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ""
	}
	return filepath.Join(home, ".cache", "huggingface", "hub")
}

// expandHome replaces a leading ~, which shells leave alone behind NAME=.
func expandHome(path string) string {
	if path != "~" && !strings.HasPrefix(path, "~/") {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, path[1:])
}

// isHubBlob reports whether a real path is a blob of the user's hub cache.
func isHubBlob(real string) bool {
	cache := hubCache()
	if cache == "" {
		return false
	}
	cache, err := filepath.EvalSymlinks(cache)
	if err != nil {
		return false
	}
	rel, err := filepath.Rel(cache, real)
	return err == nil && hubBlob.MatchString(filepath.ToSlash(rel))
}

// locate turns a reference into an existing path: one that exists as written, else
// the snapshot of a cached repository. Errors: *NotFoundError, *fs.PathError.
func locate(ref string) (string, error) {
	path := expandHome(ref)
	_, err := os.Stat(path)
	if err == nil {
		return path, nil
	}
	if !errors.Is(err, fs.ErrNotExist) || exists(path) {
		return "", err
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	missing := &NotFoundError{Ref: ref, Looked: []string{abs}}
	cache := hubCache()
	if !isHubID(ref) || cache == "" {
		return "", missing
	}
	return locateCached(cache, ref, missing)
}

// isHubID reports whether ref can be the id of a hub repository.
func isHubID(ref string) bool {
	id, _ := cutRevision(ref)
	return hubID.MatchString(ref) && !strings.Contains(id, "..") && !strings.HasPrefix(id, ".")
}

func cutRevision(ref string) (id, revision string) {
	id, revision, _ = strings.Cut(ref, "@")
	return id, revision
}

func locateCached(cache, ref string, missing *NotFoundError) (string, error) {
	id, revision := cutRevision(ref)
	repo := filepath.Join(cache, "models--"+strings.ReplaceAll(id, "/", "--"))
	missing.Looked = append(missing.Looked, repo)
	if !isDir(repo) {
		return "", missing
	}
	if revision == "" {
		revision = "main"
	}
	for _, commit := range []string{cachedCommit(repo, revision), revision} {
		if commit == "" || filepath.Base(commit) != commit || !filepath.IsLocal(commit) {
			continue
		}
		if dir := filepath.Join(repo, "snapshots", commit); isDir(dir) {
			return dir, nil
		}
	}
	missing.Revision, missing.Revisions = revision, cachedRevisions(repo)
	return "", missing
}

// cachedCommit is the commit that a branch or tag meant when it was downloaded, ""
// when the cache does not know it.
func cachedCommit(repo, revision string) string {
	if !filepath.IsLocal(revision) {
		return ""
	}
	refs, err := newScope(filepath.Join(repo, "refs"))
	if err != nil {
		return ""
	}
	b, err := refs.read(filepath.Join(refs.root, filepath.FromSlash(revision)))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// cachedRevisions lists what a repository's cache can be asked for: names whose
// snapshot is there, and the commits themselves.
func cachedRevisions(repo string) []string {
	var names []string
	refs := filepath.Join(repo, "refs")
	// What cannot be read is not offered.
	_ = filepath.WalkDir(refs, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		name, err := filepath.Rel(refs, path)
		if err == nil && isDir(filepath.Join(repo, "snapshots", cachedCommit(repo, filepath.ToSlash(name)))) {
			names = append(names, filepath.ToSlash(name))
		}
		return nil
	})
	snapshots, _ := os.ReadDir(filepath.Join(repo, "snapshots"))
	for _, s := range snapshots {
		names = append(names, s.Name())
	}
	sort.Strings(names)
	return names
}

// cachedName is the tree name of a repository.
func cachedName(ref string) string {
	id, _ := cutRevision(ref)
	return strings.ReplaceAll(id, "/", "--")
}
