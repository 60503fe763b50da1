// Package importtest holds the architecture to what it is meant to be: which
// package may import which, what stays pure, and that no package has an init
// function or state of its own. It has only tests.
package importtest
