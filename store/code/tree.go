package code

import (
	"path"
	"slices"
	"strings"
)

// maxHops bounds the links that one path may lead through, as Linux does.
const maxHops = 40

// linkWork bounds the bytes of all paths that following all links looks at.
const linkWork = 256 << 20

// tree collects the entries of a zip into what would be on disk.
type tree struct {
	entries []entry
	at      map[string]int // name → index in entries
}

func newTree(n int) *tree {
	return &tree{entries: make([]entry, 0, n), at: make(map[string]int, n)}
}

// add places an entry, with the directories above it that the zip leaves out. A
// directory may come twice; anything else may not: which one counts would be a
// guess, and a link where another entry expects a directory is an attack.
func (t *tree) add(e entry) error {
	if e.name == "." {
		if e.kind != directory {
			return invalid("An entry has no valid name.")
		}
		return nil
	}
	if err := t.addParents(e.name); err != nil {
		return err
	}
	if i, ok := t.at[e.name]; ok {
		if t.entries[i].kind == directory && e.kind == directory {
			return nil
		}
		return invalid("The entry %q is there twice.", printable(e.name))
	}
	return t.place(e)
}

// addParents looks from the deepest up: where one is there, so are those above
// it, and many entries in one deep directory cost one look each.
func (t *tree) addParents(name string) error {
	var missing []string
	for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
		if at, ok := t.at[parent]; ok {
			if t.entries[at].kind != directory {
				return invalid("The entry %q lies below one that is not a directory.", printable(name))
			}
			break
		}
		missing = append(missing, parent)
	}
	for _, parent := range slices.Backward(missing) {
		if err := t.place(entry{name: parent, kind: directory}); err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) place(e entry) error {
	// A few entries with deep names imply many directories.
	if len(t.entries) >= MaxEntries {
		return invalid("The file has more than %d entries.", MaxEntries)
	}
	t.at[e.name] = len(t.entries)
	t.entries = append(t.entries, e)
	return nil
}

// checkLinks refuses links that lead out of the package. It follows them as the
// kernel would: cleaning the text alone is not enough, as .. behind a link to a
// directory leads elsewhere.
func (t *tree) checkLinks() error {
	budget := linkWork
	for _, e := range t.entries {
		if e.kind != link {
			continue
		}
		hops := 0
		if _, ok := t.resolve(path.Dir(e.name), e.target, &hops, &budget); !ok {
			return invalid("The symbolic link %q leads out of the package.", printable(e.name))
		}
	}
	return nil
}

// resolve walks target from the directory dir and returns where it ends; false
// when it leaves the package or does not end.
func (t *tree) resolve(dir, target string, hops, budget *int) (string, bool) {
	if strings.HasPrefix(target, "/") {
		return "", false
	}
	at := dir
	for el := range strings.SplitSeq(target, "/") {
		*budget -= len(at) + len(el)
		if *budget < 0 || len(at) > maxName {
			return "", false
		}
		switch el {
		case "", ".":
			continue
		case "..":
			if at == "." {
				return "", false
			}
			at = path.Dir(at)
			continue
		}
		next := el
		if at != "." {
			next = at + "/" + el
		}
		i, ok := t.at[next]
		if !ok || t.entries[i].kind != link {
			at = next
			continue
		}
		if *hops++; *hops > maxHops {
			return "", false
		}
		if at, ok = t.resolve(at, t.entries[i].target, hops, budget); !ok {
			return "", false
		}
	}
	return at, true
}
