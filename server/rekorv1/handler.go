// Package rekorv1 is Rekor v1's REST API on the log.
package rekorv1
