//go:build !linux

package sqlite

// remote is not known on this system.
func remote(string) (string, error) { return "", nil }
