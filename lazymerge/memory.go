package lazymerge

import "slices"

// What the base stores under other names than the model in memory has: layers that were
// renamed, and stacks of experts that are stored one by one.

// walkLoaded looks at what a tensor of the base is in memory, once for each parameter.
func (s *survey) walkLoaded(o *output, seen map[string]bool) error {
	disk, _ := cutLast(o.name)
	for _, parameter := range s.names.Loaded(o.name) {
		if parameter == o.name || seen[parameter] {
			continue
		}
		seen[parameter] = true
		module, param := cutLast(parameter)
		for _, name := range s.inMemory(disk, module) {
			if err := s.checkLoaded(name, param, o); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkLoaded books a parameter in memory that the config means and the file has not.
func (s *survey) checkLoaded(module, param string, o *output) error {
	if s.trained.Parameters != nil && s.trained.Parameters(module, param) {
		if !s.held[module] {
			s.book(module, param, adapted, o)
		}
		return nil
	}
	what, err := s.lacks(module, param, o)
	if err == nil && what != nothing && s.means(module, param, o) {
		s.book(module, param, what, o)
	}
	return err
}

// inMemory lists what the adapter may call a module in memory, by how it calls the one on
// disk.
func (s *survey) inMemory(disk, module string) []string {
	names := []string{module}
	for _, c := range s.called(disk) {
		sp := spelling{adapter: c.module, disk: disk}
		sp.trim()
		if rest, ok := cutFront(module, sp.disk); ok {
			names = append(names, join(sp.adapter, rest))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// renamed tells whether a module on disk is no module in memory: a rule of the base's class
// makes something else of it, and the file has nothing that stands beside it.
func (s *survey) renamed(name calling, o *output) bool {
	if name.known || s.kinds[unnumbered(name.module)] || slices.Contains(s.names.Loaded(o.name), o.name) {
		return false
	}
	above, _ := cutLast(name.module)
	return len(o.info.Shape) > 2 || !s.held[above]
}
