package filter

// Paths are those that f names, in the order in which it does.
func (f *Filter) Paths() []string { return appendPaths(nil, f.condition) }

func appendPaths(paths []string, c condition) []string {
	switch c := c.(type) {
	case allOf:
		for _, part := range c {
			paths = appendPaths(paths, part)
		}
	case anyOf:
		for _, part := range c {
			paths = appendPaths(paths, part)
		}
	case *negation:
		paths = appendPaths(paths, c.condition)
	case *field:
		paths = append(paths, c.path.String())
	}
	return paths
}
