//go:build !unix

package mirror

func ignoreUnsupported(error) error { return nil }
