// Package e2e tests the programs as programs: built, started, talked to over
// their ports, and killed.
package e2e
