// Package registers tests the registers of package guard with what is too heavy
// for the module itself: an object store that others wrote, and registers shared
// by several processes.
package registers
