// Package publication tests package publication on an object store that others wrote,
// versitygw, which is a module of its own for what it needs.
package publication
