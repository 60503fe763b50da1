// Package trust writes what clients need to trust a log: Sigstore's trusted
// root and signing configuration, and the keys. Pure functions.
package trust
